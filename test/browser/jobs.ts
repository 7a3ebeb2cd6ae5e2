// What the tests can ask of the page, and what it answers: plain values, since they cross from one process to another.
import type { AdapterSummary, ComponentName, GenerateRequest, GenerateResult } from "../../src/index.ts";

interface PlainTensor {
  readonly shape: readonly number[];
  readonly data: readonly number[];
}

/** By name, what a job is given. */
export interface Jobs {
  /** Loads a pair onto the page's own device. */
  open: { model: string; weak: string };
  /** Loads the picked file onto a device that the engine opens. */
  openPicked: { config: string };
  generate: GenerateRequest;
  /** Stops after the first step. */
  stop: GenerateRequest;
  component: { model: string; component: ComponentName; inputs: readonly (PlainTensor & { name: string })[] };
  dispose: undefined;
  toy: undefined;
  merges: undefined;
  /** A model that cannot be loaded: an address, or a picked file. */
  refused: string | { readonly name: string; readonly bytes: readonly number[] };
}

/** What an error is to whoever catches it in the page. */
export interface PlainError {
  readonly name: string;
  readonly message: string;
  readonly hint?: string;
  /** Which of the engine's classes it is an instance of. */
  readonly classes: readonly string[];
}

interface Opened {
  /** Components whose weights were announced as complete, in order. */
  readonly uploads: readonly string[];
  readonly dtype: string;
  readonly adapter: AdapterSummary;
  readonly weightBytes: number;
}

export interface Answers {
  open: Opened;
  openPicked: Opened;
  generate: Pick<GenerateResult, "nfe" | "gpu" | "seed"> & {
    readonly width: number;
    readonly height: number;
    readonly pixels: readonly number[];
    readonly latents: readonly number[] | undefined;
    /** `done/total` evaluations as they were announced. */
    readonly steps: readonly string[];
  };
  stop: { readonly error: PlainError | undefined; readonly leftBytes: number };
  component: PlainTensor;
  dispose: {
    readonly left: readonly string[];
    readonly bytes: number;
    readonly borrowed: boolean;
    readonly alive: boolean;
  };
  toy: { readonly x: readonly number[]; readonly alive: boolean };
  merges: { readonly lines: number; readonly characters: number };
  refused: PlainError | undefined;
}

export interface JobState {
  readonly done: boolean;
  readonly answer?: unknown;
  readonly error?: PlainError;
}
