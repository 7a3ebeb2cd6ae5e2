import { FileError, UsageError } from "../errors.ts";
import { bindingLimits, type Gpu } from "../gpu/device.ts";
import { loadWeights, type LoadedWeights } from "../graph/load.ts";
import { finish, type ActivationDtype, type GraphBuilder } from "../graph/graph.ts";
import { fuse } from "../graph/fuse/index.ts";
import { plan, weightsOf, type Plan } from "../graph/plan.ts";
import type { WeightPool } from "../graph/weight-pool.ts";
import { clipText, clipTextConfig, type ClipTextConfig } from "../models/clip-text.ts";
import { unet, unetFactor, type UnetShape } from "../models/unet.ts";
import { unetConfig, type UnetConfig } from "../models/unet-config.ts";
import { vaeConfig, vaeDecoder, vaeEncoder, vaeFactor, type VaeShape } from "../models/vae.ts";
import { vaeTinyConfig, vaeTinyDecoder, vaeTinyEncoder } from "../models/vae-tiny.ts";
import { clipTokenizer, type ClipTokenizer } from "../text/clip-tokenizer.ts";
import { needComponent, needScheduler, type Checkpoint, type Component } from "../weights/checkpoint.ts";
import { readSchedulerConfig, type SchedulerConfig } from "../w2sd/schedule.ts";

/** What every part of a model is loaded with. */
export interface LoadContext {
  readonly gpu: Gpu;
  readonly pool: WeightPool;
  readonly dtype: ActivationDtype;
  /** Fusion passes left out. */
  readonly without: readonly string[];
  readonly onUpload?: ((component: string, loaded: number, total: number) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
  /** CLIP's merge list, for checkpoints that come without a tokenizer. */
  readonly merges?: (() => Promise<string>) | undefined;
}

export interface UnetPart {
  readonly config: UnetConfig;
  readonly factor: number;
  readonly weights: LoadedWeights;
  graph(shape: UnetShape): GraphBuilder;
}

export interface TextPart {
  readonly config: ClipTextConfig;
  readonly weights: LoadedWeights;
  readonly tokenizer: ClipTokenizer;
  graph(shape: { batch: number; tokens: number; clipSkip?: number }): GraphBuilder;
}

export interface VaePart {
  /** Pixels per latent along a side. */
  readonly factor: number;
  readonly latentChannels: number;
  readonly scalingFactor: number;
  readonly weights: LoadedWeights;
  graph(shape: VaeShape): GraphBuilder;
}

/** A graph, fused and planned for this device. */
export function planOf(
  { gpu, without }: Pick<LoadContext, "gpu" | "without">,
  builder: GraphBuilder,
  marks = false,
): Plan {
  const graph = fuse(finish(builder, marks ? builder.marks : new Map()), without);
  return plan(graph, bindingLimits(gpu), gpu.features);
}

/** Puts on the GPU what a graph needs of a component. */
function load(
  { gpu, pool, signal, onUpload }: LoadContext,
  name: string,
  component: Component,
  builder: GraphBuilder,
): Promise<LoadedWeights> {
  return loadWeights(gpu, pool, component.tensors, weightsOf(finish(builder)), builder.name, {
    signal,
    onProgress: (loaded, total) => onUpload?.(name, loaded, total),
  });
}

/** A network as the headers describe it, before its weights are loaded. */
function unetOf(checkpoint: Checkpoint, dtype: ActivationDtype) {
  const component = needComponent(checkpoint, "unet");
  const file = `${checkpoint.name} unet`;
  const config = unetConfig(component.config, `${file} config`);
  const graph = (shape: UnetShape) => unet(config, component.tensors, dtype, shape, file);
  return { component, config, factor: unetFactor(config), graph };
}

function vaeOf(checkpoint: Checkpoint, dtype: ActivationDtype, side: "decoder" | "encoder") {
  const component = needComponent(checkpoint, "vae");
  const file = `${checkpoint.name} vae`;
  const make = sidesOf(component.config, file);
  const graph = (shape: VaeShape) => make[side](component.tensors, dtype, shape, file);
  const { factor, latentChannels, scalingFactor } = make;
  return { component, factor, latentChannels, scalingFactor, graph };
}

/** Plans the networks of a picture of h × w latents from the headers alone, so that one too large for the device is refused before weights are read.
 *  @throws {LimitError} a tensor is larger than the device binds */
export function checkFits(
  context: Pick<LoadContext, "gpu" | "dtype" | "without">,
  checkpoint: Checkpoint,
  { h, w }: { readonly h: number; readonly w: number },
): void {
  const shape = { batch: 1, branches: 1, height: h, width: w, timesteps: 1, tokens: 1 };
  planOf(context, unetOf(checkpoint, context.dtype).graph(shape));
  if (checkpoint.vae) planOf(context, vaeOf(checkpoint, context.dtype, "decoder").graph(shape));
}

export async function loadUnet(context: LoadContext, checkpoint: Checkpoint): Promise<UnetPart> {
  const { component, config, factor, graph } = unetOf(checkpoint, context.dtype);
  const smallest = { batch: 1, branches: 1, height: factor, width: factor, timesteps: 1, tokens: 1 };
  return { config, factor, graph, weights: await load(context, "unet", component, graph(smallest)) };
}

const tokenTable = "text_model.embeddings.token_embedding.weight";

/** `tokenizer`: the checkpoint's own, if it has been read before. */
export async function loadText(
  context: LoadContext,
  checkpoint: Checkpoint,
  tokenizer?: ClipTokenizer,
): Promise<TextPart> {
  const component = needComponent(checkpoint, "text_encoder");
  const file = `${checkpoint.name} text encoder`;
  const config = clipTextConfig(component.config, `${file} config`);
  const table = component.tensors.get(tokenTable);
  const bytesPerElement = table?.dtype === "F16" || context.dtype === "f16" ? 2 : 4;
  const splitTableRows = Math.floor(bindingLimits(context.gpu).maxBindingBytes / (config.hiddenSize * bytesPerElement));
  const graph: TextPart["graph"] = (shape) =>
    clipText(config, component.tensors, context.dtype, { ...shape, splitTableRows }, file);
  return {
    config,
    tokenizer: tokenizer ?? (await readTokenizer(context, checkpoint)),
    graph,
    weights: await load(context, "text_encoder", component, graph({ batch: 1, tokens: 1 })),
  };
}

/** A checkpoint's tokenizer; CLIP's own where it comes without.
 *  @throws {FileError} its files are damaged, or not those of its text encoder */
export async function readTokenizer({ merges }: LoadContext, checkpoint: Checkpoint): Promise<ClipTokenizer> {
  const { name, tokenizer: files = {} } = checkpoint;
  const own = files.merges !== undefined || files.tokenizerJson !== undefined;
  if (!own && !merges)
    throw new FileError(`${name} has no tokenizer`, "supply CLIP's merge list (assets/clip-merges.txt)");
  let tokenizer: ClipTokenizer;
  try {
    tokenizer = clipTokenizer(own ? files : { ...files, merges: await merges!() });
  } catch (cause) {
    if (!(cause instanceof FileError)) throw cause;
    throw new FileError(`${name}: ${cause.message}`, undefined, { cause });
  }
  const table = needComponent(checkpoint, "text_encoder").tensors.get(tokenTable);
  const vocabSize = table?.shape[0] ?? Infinity;
  const highest = Math.max(tokenizer.bos, tokenizer.eos, tokenizer.pad);
  if (highest >= vocabSize) {
    throw new FileError(
      `${name}: its tokenizer has a token ${highest}, its text encoder knows ${vocabSize}`,
      "the two are of different models: fetch the tokenizer folder again",
    );
  }
  return tokenizer;
}

/** The VAE's decoder, or its encoder. */
export async function loadVae(
  context: LoadContext,
  checkpoint: Checkpoint,
  side: "decoder" | "encoder" = "decoder",
): Promise<VaePart> {
  const { component, factor, latentChannels, scalingFactor, graph } = vaeOf(checkpoint, context.dtype, side);
  const least = side === "encoder" ? factor : 1;
  const weights = await load(context, `vae_${side}`, component, graph({ batch: 1, height: least, width: least }));
  return { factor, latentChannels, scalingFactor, graph, weights };
}

type Side = (tensors: Component["tensors"], dtype: ActivationDtype, shape: VaeShape, file: string) => GraphBuilder;
type Sides = {
  readonly decoder: Side;
  readonly encoder: Side;
  readonly factor: number;
  readonly latentChannels: number;
  readonly scalingFactor: number;
};

function sidesOf(json: Component["config"], file: string): Sides {
  return json["_class_name"] === "AutoencoderTiny" ? tinySides(json, file) : fullSides(json, file);
}

function fullSides(json: Component["config"], file: string): Sides {
  const config = vaeConfig(json, `${file} config`);
  const { latentChannels, scalingFactor } = config;
  return {
    decoder: (...a) => vaeDecoder(config, ...a),
    encoder: (...a) => vaeEncoder(config, ...a),
    factor: vaeFactor(config.channels),
    latentChannels,
    scalingFactor,
  };
}

function tinySides(json: Component["config"], file: string): Sides {
  const config = vaeTinyConfig(json, `${file} config`);
  const { latentChannels, scalingFactor } = config;
  const factor = vaeFactor(config.decoderBlocks);
  return {
    decoder: (...a) => vaeTinyDecoder(config, ...a),
    encoder: (...a) => vaeTinyEncoder(config, ...a),
    factor,
    latentChannels,
    scalingFactor,
  };
}

/** What a checkpoint's configs say, before any tensor is loaded. */
export interface ModelFacts {
  readonly name: string;
  readonly latentChannels: number;
  /** Latent side that the UNet was trained on. */
  readonly sampleSize: number;
  /** What the latents' sides must divide by. */
  readonly unetFactor: number;
  /** Pixels per latent along a side. */
  readonly vaeFactor: number;
  /** What its VAE multiplies latents by; unknown without a VAE, and of one that takes them as they are. */
  readonly vaeScaling?: number | undefined;
  readonly scheduler: SchedulerConfig;
}

/** `strong` lends its VAE and its schedule to a weak checkpoint that is a bare network.
 *  @throws {FileError} a part is missing, or a config asks for what this engine does not do */
export function factsOf(checkpoint: Checkpoint, strong?: ModelFacts): ModelFacts {
  const { name } = checkpoint;
  const config = unetConfig(needComponent(checkpoint, "unet").config, `${name} unet config`);
  if (!strong) needComponent(checkpoint, "text_encoder");
  const vae = strong && !checkpoint.vae ? undefined : sidesOf(needComponent(checkpoint, "vae").config, `${name} vae`);
  if (vae && vae.latentChannels !== config.inChannels) {
    throw new FileError(
      `${name}: its VAE has ${vae.latentChannels} latent channels, its UNet takes ${config.inChannels}`,
      "the two are of different models: use a VAE of the UNet's family",
    );
  }
  return {
    name,
    latentChannels: config.inChannels,
    sampleSize: config.sampleSize,
    unetFactor: unetFactor(config),
    vaeFactor: vae?.factor ?? strong!.vaeFactor,
    vaeScaling: checkpoint.vae?.config["_class_name"] === "AutoencoderTiny" ? undefined : vae?.scalingFactor,
    scheduler: !checkpoint.scheduler && strong ? strong.scheduler : readSchedulerConfig(needScheduler(checkpoint)),
  };
}

/** What the networks of a pair must agree on, since latents and noise levels are all that passes between them.
 *  @throws {UsageError} with both numbers */
export function checkPair(strong: ModelFacts, weak: ModelFacts): void {
  const differ = (what: string, a: string | number | undefined, b: string | number | undefined) => {
    if (a !== b && a !== undefined && b !== undefined) {
      throw new UsageError(
        `the pair does not fit: ${what} is ${a} in ${strong.name} and ${b} in ${weak.name}`,
        "weak and strong must share the latent space and the noise schedule",
      );
    }
  };
  differ("the number of latent channels", strong.latentChannels, weak.latentChannels);
  differ("the VAE's factor (pixels per latent)", strong.vaeFactor, weak.vaeFactor);
  differ("the VAE's scaling factor", strong.vaeScaling, weak.vaeScaling);
  for (const key of ["trainSteps", "betaStart", "betaEnd", "betaSchedule"] as const)
    differ(key, strong.scheduler[key], weak.scheduler[key]);
  const zeroSnr = ({ scheduler }: ModelFacts) => (scheduler.rescaleBetasZeroSnr ? "on" : "off");
  differ("rescale_betas_zero_snr", zeroSnr(strong), zeroSnr(weak));
}
