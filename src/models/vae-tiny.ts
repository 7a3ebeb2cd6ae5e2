import { FileError } from "../errors.ts";
import { apply, createGraph, input, mark, type ActivationDtype, type GraphBuilder, type Value } from "../graph/graph.ts";
import { expand } from "../kernels/expand.ts";
import { upsampleNearest } from "../kernels/upsample-nearest.ts";
import { activation, conv2d, linear, sum, type ModelBuilder, type TensorInfo } from "./builder.ts";
import { readConfig, type Config } from "../weights/config.ts";
import type { VaeShape } from "./vae.ts";

/** AutoencoderTiny's config (TAESD): a small decoder of plain convolutions. */
export interface VaeTinyConfig {
  readonly decoderChannels: readonly number[];
  readonly encoderChannels: readonly number[];
  readonly decoderBlocks: readonly number[];
  readonly encoderBlocks: readonly number[];
  readonly latentChannels: number;
  readonly scalingFactor: number;
}

/** Reads vae/config.json of an AutoencoderTiny. @throws {FileError} a field this engine cannot honour */
export function vaeTinyConfig(config: Config, file: string): VaeTinyConfig {
  const c = readConfig(config, file);
  c.only("_class_name", ["AutoencoderTiny"]);
  c.only("act_fn", ["relu"]);
  c.only("upsampling_scaling_factor", [2]);
  const read = {
    decoderChannels: c.counts("decoder_block_out_channels", [64, 64, 64, 64]),
    encoderChannels: c.counts("encoder_block_out_channels", [64, 64, 64, 64]),
    decoderBlocks: c.counts("num_decoder_blocks", [3, 3, 3, 1]),
    encoderBlocks: c.counts("num_encoder_blocks", [1, 3, 3, 3]),
    latentChannels: c.count("latent_channels", 4),
    scalingFactor: c.number("scaling_factor", 1),
  };
  const { decoderChannels, decoderBlocks, encoderChannels, encoderBlocks } = read;
  if (decoderChannels.length !== decoderBlocks.length || encoderChannels.length !== encoderBlocks.length) {
    throw new FileError(
      `${file}: ${decoderBlocks.length} and ${encoderBlocks.length} lists of blocks for ${decoderChannels.length} and ${encoderChannels.length} of channels`,
    );
  }
  return read;
}

/** The tiny decoder: UNet latents → picture, [N, 8h, 8w, 3] in [−1, 1] for the usual four levels. Inputs and output as in `vaeDecoder`. */
export function vaeTinyDecoder(config: VaeTinyConfig, tensors: ReadonlyMap<string, TensorInfo>, dtype: ActivationDtype, shape: VaeShape, file = "vae"): GraphBuilder {
  const g = createGraph(`${file} decoder`);
  const m: ModelBuilder = { g, file, tensors, dtype };
  const latents = input("latents", { shape: [shape.batch, shape.height, shape.width, config.latentChannels], dtype: "f32" }, "step");
  let x = apply(g, expand, { x: latents }, { times: 1, dtype, scale: 1 / config.scalingFactor }, "latents");
  x = activation(m, x, "softClip", "decoder");
  const layer = layerNames("decoder.layers");
  x = mark(g, layer.peek(), conv2d(m, x, layer.next()));
  x = activation(m, x, "relu", layer.next());
  for (const [i, blocks] of config.decoderBlocks.entries()) {
    const last = i === config.decoderBlocks.length - 1;
    for (let j = 0; j < blocks; j++) x = mark(g, layer.peek(), tinyBlock(m, x, layer.next()));
    if (!last) x = apply(g, upsampleNearest, { x }, {}, layer.next());
    x = mark(g, layer.peek(), conv2d(m, x, layer.next(), { bias: last }));
  }
  g.outputs.set("output", apply(g, expand, { x }, { times: 1, dtype, scale: 2, shift: -1 }, "picture"));
  return g;
}

/** The tiny encoder: picture [N, H, W, 3] in [−1, 1] → UNet latents. */
export function vaeTinyEncoder(config: VaeTinyConfig, tensors: ReadonlyMap<string, TensorInfo>, dtype: ActivationDtype, shape: VaeShape, file = "vae"): GraphBuilder {
  const g = createGraph(`${file} encoder`);
  const m: ModelBuilder = { g, file, tensors, dtype };
  const image = input("image", { shape: [shape.batch, shape.height, shape.width, 3], dtype: "f32" }, "step");
  let x = apply(g, expand, { x: image }, { times: 1, dtype, scale: 0.5, shift: 0.5 }, "image");
  const layer = layerNames("encoder.layers");
  for (const [i, blocks] of config.encoderBlocks.entries()) {
    x = mark(g, layer.peek(), i === 0 ? conv2d(m, x, layer.next()) : conv2d(m, x, layer.next(), { stride: 2, bias: false }));
    for (let j = 0; j < blocks; j++) x = mark(g, layer.peek(), tinyBlock(m, x, layer.next()));
  }
  x = mark(g, layer.peek(), conv2d(m, x, layer.next()));
  g.outputs.set("output", apply(g, expand, { x }, { times: 1, dtype: "f32", scale: config.scalingFactor }, "latents"));
  return g;
}

/** Names of a flat list of layers, counted as diffusers' Sequential counts them. */
function layerNames(prefix: string): { next(): string; peek(): string } {
  let i = 0;
  return { next: () => `${prefix}.${i++}`, peek: () => `${prefix}.${i}` };
}

/** relu(conv(relu(conv(relu(conv x)))) + skip x) */
function tinyBlock(m: ModelBuilder, x: Value, name: string): Value {
  let y = activation(m, conv2d(m, x, `${name}.conv.0`), "relu", name);
  y = activation(m, conv2d(m, y, `${name}.conv.2`), "relu", name);
  y = conv2d(m, y, `${name}.conv.4`);
  const skip = m.tensors.has(`${name}.skip.weight`) ? linear(m, x, `${name}.skip`, { bias: false }) : x;
  return activation(m, sum(m, y, skip, name), "relu", name);
}
