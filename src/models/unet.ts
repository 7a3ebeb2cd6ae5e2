import { UsageError } from "../errors.ts";
import { apply, constant, createGraph, input, mark, reshape, type ActivationDtype, type GraphBuilder, type Value } from "../graph/graph.ts";
import { concat } from "../kernels/concat.ts";
import { embedding } from "../kernels/embedding.ts";
import { expand } from "../kernels/expand.ts";
import { timestepEmbedding, timestepFrequencies } from "../kernels/timestep-embedding.ts";
import { spatialTransformer } from "./attention.ts";
import { activation, conv2d, groupNorm, linear, type ModelBuilder, type TensorInfo } from "./builder.ts";
import { resnetBlock, upsample } from "./resnet.ts";
import type { UnetConfig, UnetLevel } from "./unet-config.ts";

/** Sizes that are fixed when the graph is written. */
export interface UnetShape {
  /** Latents per branch. */
  readonly batch: number;
  /** Guidance branches evaluated together: the latents are repeated for each. */
  readonly branches: number;
  /** Latent height and width. */
  readonly height: number;
  readonly width: number;
  /** Rows of the table of timesteps that the evaluations choose from. */
  readonly timesteps: number;
  /** Tokens of the prompt. */
  readonly tokens: number;
}

/** How many times the UNet halves the latents: their sides must divide by 2 to this power. */
export function unetFactor(config: UnetConfig): number {
  return 2 ** (config.levels.length - 1);
}

/** UNet2DConditionModel as a graph: predicted noise (or v) for noisy latents.
 *
 *  Inputs: `latents` f32 [batch, h, w, C]; `state` u32 [1], the row of `timesteps` in force; `timesteps` f32 [T]; `context` [batch·branches, tokens, D].
 *  Output: `output` [batch·branches, h, w, C] in `dtype`. What depends on the timesteps or the prompt alone runs once per picture.
 *  @throws {UsageError} latent sides do not divide by the UNet's factor
 *  @see Rombach et al. 2022, arXiv:2112.10752 */
export function unet(config: UnetConfig, tensors: ReadonlyMap<string, TensorInfo>, dtype: ActivationDtype, shape: UnetShape, file = "unet"): GraphBuilder {
  const g = createGraph(file);
  const m: ModelBuilder = { g, file, tensors, dtype };
  const factor = unetFactor(config);
  if (shape.height % factor || shape.width % factor) {
    throw new UsageError(`latents of ${shape.height}×${shape.width} do not divide by the UNet's factor ${factor}`, `choose a picture whose sides, in latents, are multiples of ${factor}`);
  }
  const batch = shape.batch * shape.branches;
  const latents = input("latents", { shape: [shape.batch, shape.height, shape.width, config.inChannels], dtype: "f32" }, "step");
  const context = input("context", { shape: [batch, shape.tokens, config.crossAttentionDim], dtype }, "once");
  const temb = timeEmbedding(m, config, shape.timesteps);
  const norm = { groups: config.groups, eps: config.eps };

  const resnet = (x: Value, name: string) => resnetBlock(m, x, name, norm, temb);
  const attend = (x: Value, name: string, level: UnetLevel) =>
    spatialTransformer(m, x, context, name, { heads: level.heads, layers: level.transformerLayers, groups: config.groups });

  let x = apply(g, expand, { x: latents }, { times: shape.branches, dtype }, "latents");
  x = mark(g, "conv_in", conv2d(m, x, "conv_in"));
  const skips = [x];
  const deepest = config.levels.length - 1;
  for (const [i, level] of config.levels.entries()) {
    const block = `down_blocks.${i}`;
    for (let j = 0; j < level.layers; j++) {
      x = resnet(x, `${block}.resnets.${j}`);
      if (level.downAttention) x = attend(x, `${block}.attentions.${j}`, level);
      skips.push(x);
    }
    if (i < deepest) {
      x = mark(g, `${block}.downsamplers.0`, conv2d(m, x, `${block}.downsamplers.0.conv`, { stride: 2, padding: config.downsamplePadding }));
      skips.push(x);
    }
  }
  if (config.hasMid) {
    x = resnet(x, "mid_block.resnets.0");
    x = attend(x, "mid_block.attentions.0", config.levels[deepest]!);
    x = resnet(x, "mid_block.resnets.1");
  }
  for (const [i, level] of [...config.levels].reverse().entries()) {
    const block = `up_blocks.${i}`;
    for (let j = 0; j <= level.layers; j++) {
      const name = `${block}.resnets.${j}`;
      x = resnet(apply(g, concat, { a: x, b: skips.pop()! }, {}, name), name);
      if (level.upAttention) x = attend(x, `${block}.attentions.${j}`, level);
    }
    if (i < deepest) x = upsample(m, x, `${block}.upsamplers.0`);
  }
  x = mark(g, "conv_norm_out", groupNorm(m, x, "conv_norm_out", norm));
  x = mark(g, "conv_out", conv2d(m, activation(m, x, "silu", "conv_norm_out"), "conv_out"));
  g.outputs.set("output", x);
  return g;
}

/** The time embedding of every timestep, once, and for each resnet a projection whose row in force is looked up at every evaluation. */
function timeEmbedding(m: ModelBuilder, config: UnetConfig, count: number): (name: string) => Value {
  const { g, dtype } = m;
  const dim = config.levels[0]!.channels;
  const t = input("timesteps", { shape: [count], dtype: "f32" }, "once");
  const state = input("state", { shape: [1], dtype: "u32" }, "step");
  const frequencies = constant("frequencies", [dim / 2], timestepFrequencies(dim, config.freqShift));
  const sinusoids = apply(g, timestepEmbedding, { t, frequencies }, { flipSinToCos: config.flipSinToCos, dtype }, "time_proj");
  const hidden = activation(m, linear(m, sinusoids, "time_embedding.linear_1"), "silu", "time_embedding.linear_1");
  const table = mark(g, "time_embedding", linear(m, hidden, "time_embedding.linear_2"));
  const active = activation(m, table, "silu", "time_embedding");
  return (name) => {
    const rows = linear(m, active, name);
    const row = apply(g, embedding, { ids: state, table: rows, tableHigh: undefined }, { dtype, count: 1 }, name);
    return reshape(row, [row.shape.at(-1)!], name);
  };
}
