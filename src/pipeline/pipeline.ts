import { chooseDtype, type Gpu } from "../gpu/device.ts";
import { createWeightPool } from "../graph/weight-pool.ts";
import type { Checkpoint } from "../weights/checkpoint.ts";
import { generate, type GenerateResult } from "./generate.ts";
import {
  checkPair,
  factsOf,
  loadText,
  loadUnet,
  loadVae,
  readTokenizer,
  type LoadContext,
  type ModelFacts,
  type TextPart,
  type UnetPart,
  type VaePart,
} from "./model.ts";
import type { GenerateRequest } from "./request.ts";

/** One of the pair, loaded. */
export interface PipelineModel {
  readonly facts: ModelFacts;
  readonly unet: UnetPart;
  readonly text: TextPart;
}

export interface PipelineOptions {
  readonly gpu: Gpu;
  /** The (strong) model. */
  readonly model: Checkpoint;
  /** The weak model of a pair; without it a reflection uses the same model under another condition. */
  readonly weak?: Checkpoint | undefined;
  /** What to compute in. Default `auto`: f16 where the device has it. */
  readonly dtype?: "f16" | "f32" | "auto" | undefined;
  /** Fusion passes to leave out, by name. */
  readonly without?: readonly string[] | undefined;
  /** CLIP's merge list, for single-file checkpoints, which carry no vocabulary. */
  readonly merges?: (() => Promise<string>) | undefined;
  readonly onUpload?: LoadContext["onUpload"];
  readonly signal?: AbortSignal | undefined;
}

/** Text to picture, with everything loaded. */
export interface Pipeline {
  readonly context: LoadContext;
  readonly main: PipelineModel;
  readonly weak: PipelineModel | undefined;
  readonly vae: VaePart;
  readonly dtype: "f16" | "f32";
  /** Milliseconds that loading took. */
  readonly loadMs: number;
  /** Bytes of weights on the GPU; tensors that the pair shares count once. */
  weightBytes(): number;
  generate(request: GenerateRequest): Promise<GenerateResult>;
  /** Returns every byte; the device stays as it is. */
  dispose(): void;
}

/** Loads one checkpoint, or a pair, onto the GPU. Tensors with equal bytes are stored once.
 *  @throws {FileError} a checkpoint does not hold what its configs say   @throws {UsageError} the pair does not fit, or the device lacks the dtype
 *  @throws {LimitError} the device is too small; nothing stays allocated after any of them */
export async function createPipeline(options: PipelineOptions): Promise<Pipeline> {
  const { gpu, signal, merges } = options;
  const began = performance.now();
  const dtype = chooseDtype(gpu, options.dtype ?? "auto");
  const pool = createWeightPool();
  const context: LoadContext = {
    gpu,
    pool,
    dtype,
    without: options.without ?? [],
    onUpload: options.onUpload,
    signal,
    merges,
  };
  const loaded: { dispose(): void }[] = [];
  const own = <P extends { weights: { dispose(): void } }>(part: P): P => {
    loaded.push(part.weights);
    return part;
  };
  const dispose = () => {
    for (const weights of loaded.splice(0)) weights.dispose();
  };
  const facts = factsOf(options.model);
  const weakFacts = options.weak && factsOf(options.weak, facts);
  if (weakFacts) checkPair(facts, weakFacts);
  try {
    // A damaged tokenizer of either is said before the first weight is read.
    const tokenizer = await readTokenizer(context, options.model);
    const weakTokenizer = options.weak?.textEncoder && (await readTokenizer(context, options.weak));
    const text = own(await loadText(context, options.model, tokenizer));
    const main = { facts, text, unet: own(await loadUnet(context, options.model)) };
    const vae = own(await loadVae(context, options.model));
    let weak: PipelineModel | undefined;
    if (options.weak && weakFacts) {
      // Each model is asked in its own words; one that comes without a text encoder takes the strong one's.
      const weakText = options.weak.textEncoder ? own(await loadText(context, options.weak, weakTokenizer)) : text;
      weak = { facts: weakFacts, text: weakText, unet: own(await loadUnet(context, options.weak)) };
    }
    const pipeline: Pipeline = {
      context,
      main,
      weak,
      vae,
      dtype,
      loadMs: performance.now() - began,
      weightBytes: () => [...pool.users.keys()].reduce((n, b) => n + b.bytes, 0),
      generate: (request) => generate(pipeline, request),
      dispose,
    };
    return pipeline;
  } catch (error) {
    dispose();
    throw error;
  }
}
