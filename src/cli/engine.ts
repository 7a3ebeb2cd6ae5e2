import type { FoundAdapter } from "../node/adapter.ts";
import type { Image } from "../node/png.ts";
import type { Progress } from "./progress.ts";

// What the commands ask of the engine. A command reads options, checks that its output can be written, finds an adapter,
// calls one of these functions, writes files and prints; it computes nothing itself.

/** What every request to the engine comes with. */
export interface Context {
  readonly adapter: FoundAdapter;
  readonly signal: AbortSignal;
  readonly progress: Progress;
}

export type DtypeChoice = "f16" | "f32" | "auto";

/** How the reflection is done; the same for pictures and toys. */
export interface ReflectionOptions {
  readonly inversion: "exact" | "official";
  readonly query: "published" | "aligned" | "cached";
  readonly alpha: number;
  /** Reflected steps from the noisiest; undefined: all but the last. */
  readonly lambda: number | undefined;
}

export interface GenerateRequest {
  /** A diffusers folder or a single-file checkpoint. */
  readonly model: string;
  readonly prompt: string;
  readonly negative: string;
  readonly seed: number;
  readonly steps: number;
  readonly cfg: number;
  /** Pixels; undefined: the model's own size. */
  readonly size: { readonly width: number; readonly height: number } | undefined;
  readonly dtype: DtypeChoice;
  /** A safetensors file with `latents` [1, 4, h, w] in f32 to start from. */
  readonly latents: string | undefined;
  readonly wantsLatents: boolean;
  /** Undefined: plain DDIM. */
  readonly reflection:
    | (ReflectionOptions & {
        readonly strongCfg: number;
        readonly weakCfg: number;
        /** Undefined: the strong model's own weights. */
        readonly weak: string | undefined;
        /** Undefined: the same prompt. */
        readonly weakPrompt: string | undefined;
      })
    | undefined;
}

/** What `generate --json` prints, but for the paths of the images. */
export interface GenerateReport {
  readonly seed: number;
  readonly nfe: { readonly main: number; readonly down: number; readonly up: number; readonly branches: number };
  readonly adapter: { readonly name: string; readonly software: boolean };
  readonly dtype: "f16" | "f32";
  readonly gpu: {
    readonly dispatches: number;
    readonly submits: number;
    readonly readbacks: number;
    readonly peakBytes: number;
    readonly weightBytes: number;
    readonly sharedBytes: number;
  };
  readonly ms: {
    readonly load: number;
    readonly compile: number;
    readonly text: number;
    readonly sample: number;
    readonly vae: number;
    readonly total: number;
  };
}

export interface GenerateResult {
  readonly report: GenerateReport;
  readonly image: Image;
  /** A safetensors file with the last `latents`, if asked for. */
  readonly latents: Uint8Array | undefined;
}

export const components = ["unet", "text_encoder", "vae_encoder", "vae_decoder"] as const;

export interface RunRequest {
  readonly model: string;
  readonly component: (typeof components)[number];
  /** A safetensors file with the component's arguments under diffusers' names, NCHW. */
  readonly input: string;
  readonly dtype: DtypeChoice;
}

export interface RunResult {
  /** A safetensors file with the outputs, NCHW. */
  readonly output: Uint8Array;
  /** What `run --json` prints. */
  readonly report: object;
}

export const toyMethods = ["w2sd", "ddim", "autoguidance"] as const;

export interface ToyOptions extends ReflectionOptions {
  readonly steps: number;
  readonly method: (typeof toyMethods)[number];
  /** Guidance weight of autoguidance. */
  readonly w: number;
}

export interface GmmRequest extends ToyOptions {
  readonly peaks: readonly [left: number, right: number];
  readonly sd: number;
  /** Weights of the left peak. */
  readonly strong: number;
  readonly weak: number;
  readonly samples: number;
}

export interface GmmResult {
  readonly left: number;
  readonly meanLeft: number;
  readonly meanRight: number;
}

export interface GaussianRequest extends ToyOptions {
  readonly strongMean: number;
  readonly weakMean: number;
  readonly sd: number;
  readonly x: readonly number[];
}

export interface GaussianResult {
  readonly x: readonly number[];
}

export interface DemoRequest {
  readonly prompt: string | undefined;
  readonly seed: number;
  readonly steps: number | undefined;
  readonly dtype: DtypeChoice;
}

export interface DemoResult {
  /** weak | strong | W2SD, side by side. */
  readonly image: Image;
  readonly prompt: string;
  /** What was used, for example that the pair is an untrained one. */
  readonly notes: readonly string[];
  readonly report: object;
}

/** What `inspect` prints; `summary` is for people, the whole of it for `--json`. */
export interface InspectReport {
  readonly summary: readonly string[];
}

export interface Engine {
  /** Refuses what cannot work before anything is loaded.   @throws {W2sdError} */
  generate(request: GenerateRequest, context: Context): Promise<GenerateResult>;
  run(request: RunRequest, context: Context): Promise<RunResult>;
  toyGmm(request: GmmRequest, context: Context): Promise<GmmResult>;
  toyGaussian(request: GaussianRequest, context: Context): Promise<GaussianResult>;
  demo(request: DemoRequest, context: Context): Promise<DemoResult>;
  /** Reads headers only; needs no adapter. */
  inspect(path: string): Promise<InspectReport>;
}
