import { FileError, UsageError } from "../errors.ts";
import { elementCount, showShape, type Shape } from "../tensor.ts";
import {
  branches,
  legRows,
  refuseReflection,
  refuseReflectionOf,
  type Inversion,
  type Leg,
  type LegRow,
  type LegSpec,
  type QueryPoint,
} from "../w2sd/legs.ts";
import { seedWords } from "../w2sd/noise.ts";
import type { StepProgress } from "../w2sd/sample.ts";
import type { TimestepSpacing } from "../w2sd/schedule.ts";
import type { ModelFacts } from "./model.ts";

/** One leg of the reflection: what differs from the ordinary step. */
export interface LegRequest {
  /** Default 1: the conditional prediction alone. */
  readonly guidanceScale?: number | undefined;
  /** Default: the request's prompt and negative prompt. */
  readonly prompt?: string | undefined;
  readonly negativePrompt?: string | undefined;
}

/** The reflection of W2SD; leave it out for plain DDIM. */
export interface ReflectionRequest {
  /** DOWN: the strong model. */
  readonly strong?: LegRequest | undefined;
  /** UP: the weak model if the pipeline has one, else the same model under another condition. */
  readonly weak?: LegRequest | undefined;
  /** λ: reflected steps, from the noisiest. Default: all but the last. */
  readonly lambda?: number | undefined;
  readonly inversion?: Inversion | undefined;
  readonly query?: QueryPoint | undefined;
  /** α: 1 is the paper. */
  readonly alpha?: number | undefined;
  readonly repeats?: number | undefined;
}

export interface GenerateRequest {
  readonly prompt: string;
  readonly negativePrompt?: string | undefined;
  /** Default 1. */
  readonly seed?: number | undefined;
  /** T. Default 50. */
  readonly steps?: number | undefined;
  /** Of the ordinary steps. Default 5.5. */
  readonly guidanceScale?: number | undefined;
  readonly reflection?: ReflectionRequest | undefined;
  /** Karras et al. 2024: ε_W + scale·(ε_S − ε_W) at every step, in place of guidance and reflection. @see arXiv:2406.02507 */
  readonly autoguidance?: { readonly scale: number } | undefined;
  /** Whose ordinary steps these are: `weak` gives the weak model's own picture. Default `main`. */
  readonly side?: "main" | "weak" | undefined;
  /** Pixels. Default: the size the UNet was trained on. */
  readonly width?: number | undefined;
  readonly height?: number | undefined;
  readonly spacing?: TimestepSpacing | undefined;
  /** Only `ddim` (η = 0) is run; any other name is refused, with the reason where reflection is undefined for it. */
  readonly sampler?: string | undefined;
  /** Layers of the text encoder left out at its end. */
  readonly clipSkip?: number | undefined;
  /** Start from these instead of seeded noise: [1, C, h, w] f32. */
  readonly latents?: Float32Array | undefined;
  /** `torch`: torch's CPU generator, as diffusers and ComfyUI use it. `philox`: the GPU generator that other programs emulate. */
  readonly generator?: "torch" | "philox" | undefined;
  /** Also read back the final latents: a second read-back. */
  readonly returnLatents?: boolean | undefined;
  readonly onStep?: ((progress: StepProgress) => void) | undefined;
  /** Each dispatch's pipeline as it becomes ready. */
  readonly onPipeline?: ((ready: number, total: number) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** One network evaluated on one latent: which model, about which prompts. */
export interface Evaluation {
  readonly side: "main" | "weak";
  /** One branch each; the unconditional first, if both are evaluated. */
  readonly prompts: readonly string[];
  readonly query: "x" | "y";
  /** Evaluations with equal keys share one executable. */
  readonly key: string;
}

/** A leg of the run: one evaluation, or for autoguidance two, whose branches follow each other. */
export interface LegPlan {
  readonly leg: Leg;
  readonly evaluations: readonly Evaluation[];
}

/** A request worked out: everything that can be known before a tensor is loaded. */
export interface RunPlan {
  readonly rows: readonly LegRow[];
  readonly legs: readonly LegPlan[];
  /** Latent height and width. */
  readonly h: number;
  readonly w: number;
}

/** Works a request out for one model or a pair.
 *  @throws {UsageError} a number is out of range, or a side does not divide by the VAE's factor times the UNets'
 *  @throws {FileError} given latents are of another size, or not numbers */
export function planRun(request: GenerateRequest, main: ModelFacts, weakModel?: ModelFacts): RunPlan {
  const weak = weakModel ?? main;
  const { reflection, autoguidance, steps = 50, spacing, side = "main" } = request;
  const weakSide = weakModel ? "weak" : "main";
  if (side === "weak" && !weakModel) throw new UsageError("side weak: the pipeline has no weak model");
  checkSampler(request.sampler ?? "ddim", reflection !== undefined);
  if (reflection) for (const { scheduler } of [main, weak]) refuseReflectionOf(scheduler);
  if (autoguidance && reflection) throw new UsageError("autoguidance and reflection exclude each other");
  const spec = (model: ModelFacts, guidanceScale: number): LegSpec => ({
    guidanceScale,
    predictionType: model.scheduler.predictionType,
  });
  const scales = {
    main: autoguidance?.scale ?? request.guidanceScale ?? 5.5,
    down: reflection?.strong?.guidanceScale ?? 1,
    up: reflection?.weak?.guidanceScale ?? 1,
  };
  const rows = legRows({
    scheduler: main.scheduler,
    steps,
    spacing,
    main: spec(side === "weak" ? weak : main, scales.main),
    reflection: reflection && { ...reflection, down: spec(main, scales.down), up: spec(weak, scales.up) },
  });
  const evaluation = (model: "main" | "weak", query: "x" | "y", prompts: readonly string[]): Evaluation => ({
    side: model,
    prompts,
    query,
    key: JSON.stringify([model, prompts, query]),
  });
  const leg = (name: Leg, model: "main" | "weak", own?: LegRequest): LegPlan => {
    const prompt = own?.prompt ?? request.prompt;
    const negative = own?.negativePrompt ?? request.negativePrompt ?? "";
    const scale = scales[name];
    const prompts = branches(scale) === 2 ? [negative, prompt] : [scale === 0 ? negative : prompt];
    return { leg: name, evaluations: [evaluation(model, rows.find((r) => r.leg === name)!.query, prompts)] };
  };
  const both = (["weak", "main"] as const).map((s) => evaluation(s === "weak" ? weakSide : s, "x", [request.prompt]));
  const legs = [autoguidance ? { leg: "main" as const, evaluations: both } : leg("main", side)];
  if (rows.some((r) => r.leg === "up"))
    legs.push(leg("down", "main", reflection?.strong), leg("up", weakSide, reflection?.weak));
  const size = latentSize(request, main, weak);
  if (request.latents) checkLatents(request.latents, [1, main.latentChannels, size.h, size.w]);
  else seedWords(request.seed ?? 1);
  return { rows, legs, ...size };
}

/** @throws {FileError} a wrong count, or values that are no numbers */
function checkLatents(latents: Float32Array, shape: Shape): void {
  if (latents.length !== elementCount(shape)) {
    throw new FileError(
      `the given latents have ${latents.length} elements, the picture wants ${elementCount(shape)}, ${showShape(shape)}`,
      "choose the size that the latents were made for",
    );
  }
  const bad = latents.findIndex((v) => !Number.isFinite(v));
  if (bad >= 0) {
    throw new FileError(
      `the given latents hold ${latents[bad]} at element ${bad}, which is no finite number`,
      "they come from a run that overflowed, or from a damaged file",
    );
  }
}

function checkSampler(name: string, reflects: boolean): void {
  if (name.toLowerCase() === "ddim") return;
  if (reflects) refuseReflection(name);
  throw new UsageError(
    `sampler ${name}: only ddim is there`,
    "an Euler sampler on the same timesteps is the same algorithm but for its last step",
  );
}

function latentSize(request: GenerateRequest, main: ModelFacts, weak: ModelFacts): { h: number; w: number } {
  const trained = main.sampleSize * main.vaeFactor;
  const { width = trained, height = trained } = request;
  const unit = main.vaeFactor * Math.max(main.unetFactor, weak.unetFactor);
  for (const [name, side] of [
    ["width", width],
    ["height", height],
  ] as const) {
    if (!Number.isInteger(side) || side <= 0 || side % unit !== 0) {
      throw new UsageError(
        `${name} ${side} is no positive multiple of ${unit}`,
        `the VAE divides by ${main.vaeFactor}, the UNet by ${unit / main.vaeFactor}; the nearest is ${Math.max(unit, Math.round(side / unit) * unit) || unit}`,
      );
    }
  }
  return { h: height / main.vaeFactor, w: width / main.vaeFactor };
}
