import { apply, createGraph, input, mark, reshape, type ActivationDtype, type GraphBuilder, type Value } from "../graph/graph.ts";
import { expand } from "../kernels/expand.ts";
import { slice } from "../kernels/slice.ts";
import { attention } from "./attention.ts";
import { activation, conv2d, groupNorm, linear, sum, type ModelBuilder, type TensorInfo } from "./builder.ts";
import { readConfig, type Config } from "../weights/config.ts";
import { resnetBlock, upsample } from "./resnet.ts";

/** AutoencoderKL's config. */
export interface VaeConfig {
  readonly channels: readonly number[];
  readonly layers: number;
  readonly latentChannels: number;
  readonly groups: number;
  /** Latents for the UNet are (encoder mean − shift)·scale. */
  readonly scalingFactor: number;
  readonly shiftFactor: number;
  readonly quantConv: boolean;
  readonly postQuantConv: boolean;
  readonly midAttention: boolean;
}

/** Reads vae/config.json of an AutoencoderKL. @throws {FileError} a field this engine cannot honour */
export function vaeConfig(config: Config, file: string): VaeConfig {
  const c = readConfig(config, file);
  c.only("_class_name", ["AutoencoderKL"]);
  c.only("act_fn", ["silu", "swish"]);
  c.only("in_channels", [3]);
  c.only("out_channels", [3]);
  return {
    channels: c.counts("block_out_channels", [64]),
    layers: c.count("layers_per_block", 1),
    latentChannels: c.count("latent_channels", 4),
    groups: c.count("norm_num_groups", 32),
    scalingFactor: c.number("scaling_factor", 0.18215),
    shiftFactor: c.number("shift_factor", 0),
    quantConv: c.flag("use_quant_conv", true),
    postQuantConv: c.flag("use_post_quant_conv", true),
    midAttention: c.flag("mid_block_add_attention", true),
  };
}

/** Pixels per latent along a side. */
export function vaeFactor(channels: readonly number[]): number {
  return 2 ** (channels.length - 1);
}

export interface VaeShape {
  readonly batch: number;
  /** Height and width of the input: latents for the decoder, pixels for the encoder. */
  readonly height: number;
  readonly width: number;
}

const eps = 1e-6;

/** The decoder as a graph: UNet latents → picture.
 *
 *  Inputs: `latents` f32 [N, h, w, C], scaled as the UNet has them. Output: `output` [N, f·h, f·w, 3] in `dtype`, roughly [−1, 1]. */
export function vaeDecoder(config: VaeConfig, tensors: ReadonlyMap<string, TensorInfo>, dtype: ActivationDtype, shape: VaeShape, file = "vae"): GraphBuilder {
  const g = createGraph(`${file} decoder`);
  const m: ModelBuilder = { g, file, tensors, dtype };
  const norm = { groups: config.groups, eps };
  const latents = input("latents", { shape: [shape.batch, shape.height, shape.width, config.latentChannels], dtype: "f32" }, "step");
  let x = apply(g, expand, { x: latents }, { times: 1, dtype, scale: 1 / config.scalingFactor, shift: config.shiftFactor }, "latents");
  if (config.postQuantConv) x = mark(g, "post_quant_conv", linear(m, x, "post_quant_conv"));
  x = mark(g, "decoder.conv_in", conv2d(m, x, "decoder.conv_in"));
  x = midBlock(m, config, x, "decoder.mid_block");
  const last = config.channels.length - 1;
  for (let i = 0; i <= last; i++) {
    const block = `decoder.up_blocks.${i}`;
    for (let j = 0; j <= config.layers; j++) x = resnetBlock(m, x, `${block}.resnets.${j}`, norm);
    if (i < last) x = upsample(m, x, `${block}.upsamplers.0`);
  }
  x = mark(g, "decoder.conv_norm_out", groupNorm(m, x, "decoder.conv_norm_out", norm));
  x = mark(g, "decoder.conv_out", conv2d(m, activation(m, x, "silu", "decoder.conv_norm_out"), "decoder.conv_out"));
  g.outputs.set("output", x);
  return g;
}

/** The encoder as a graph: picture → the distribution's parameters and the UNet's latents.
 *
 *  Input: `image` f32 [N, H, W, 3] in [−1, 1]. Outputs: `moments` [N, H/f, W/f, 2C] (mean, log variance), `output` [N, H/f, W/f, C], the scaled mean. */
export function vaeEncoder(config: VaeConfig, tensors: ReadonlyMap<string, TensorInfo>, dtype: ActivationDtype, shape: VaeShape, file = "vae"): GraphBuilder {
  const g = createGraph(`${file} encoder`);
  const m: ModelBuilder = { g, file, tensors, dtype };
  const norm = { groups: config.groups, eps };
  const image = input("image", { shape: [shape.batch, shape.height, shape.width, 3], dtype: "f32" }, "step");
  let x = apply(g, expand, { x: image }, { times: 1, dtype }, "image");
  x = mark(g, "encoder.conv_in", conv2d(m, x, "encoder.conv_in"));
  const last = config.channels.length - 1;
  for (let i = 0; i <= last; i++) {
    const block = `encoder.down_blocks.${i}`;
    for (let j = 0; j < config.layers; j++) x = resnetBlock(m, x, `${block}.resnets.${j}`, norm);
    // The picture is padded on the right and at the bottom only: [top, left, bottom, right].
    if (i < last) {
      const down = `${block}.downsamplers.0`;
      x = mark(g, down, conv2d(m, x, `${down}.conv`, { stride: 2, padding: [0, 0, 1, 1] }));
    }
  }
  x = midBlock(m, config, x, "encoder.mid_block");
  x = mark(g, "encoder.conv_norm_out", groupNorm(m, x, "encoder.conv_norm_out", norm));
  x = mark(g, "encoder.conv_out", conv2d(m, activation(m, x, "silu", "encoder.conv_norm_out"), "encoder.conv_out"));
  if (config.quantConv) x = linear(m, x, "quant_conv");
  g.outputs.set("moments", x);
  const mean = apply(g, slice, { x }, { from: 0, to: config.latentChannels }, "mean");
  const { scalingFactor: scale, shiftFactor } = config;
  g.outputs.set("output", apply(g, expand, { x: mean }, { times: 1, dtype: "f32", scale, shift: -shiftFactor * scale }, "latents"));
  return g;
}

function midBlock(m: ModelBuilder, config: VaeConfig, x: Value, name: string): Value {
  const norm = { groups: config.groups, eps };
  let y = resnetBlock(m, x, `${name}.resnets.0`, norm);
  if (config.midAttention) y = pixelAttention(m, y, `${name}.attentions.0`, norm);
  return resnetBlock(m, y, `${name}.resnets.1`, norm);
}

/** Self-attention over all pixels with one head as wide as the map is deep. */
function pixelAttention(m: ModelBuilder, x: Value, name: string, norm: { groups: number; eps: number }): Value {
  const [n = 1, h = 1, w = 1, c = 1] = x.shape;
  const tokens = reshape(groupNorm(m, x, `${name}.group_norm`, norm), [n, h * w, c], name);
  const y = attention(m, tokens, tokens, name, 1, { qkvBias: true });
  return mark(m.g, name, sum(m, reshape(y, x.shape, name), x, name));
}
