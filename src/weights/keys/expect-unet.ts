import { FileError } from "../../errors.ts";
import { maxLayers, readConfig, type Config, type ConfigReader } from "../config.ts";
import { resnet, shapeList, type ExpectedTensors, type ShapeList } from "./shapes.ts";

/** What a config says of a UNet's parts, level by level from the finest. */
export interface UnetLayout {
  /** Resnets of each down block; the up block of the same level has one more. */
  readonly layers: readonly number[];
  readonly channels: readonly number[];
  readonly downAttention: readonly boolean[];
  /** In the order of the up blocks, coarsest first. */
  readonly upAttention: readonly boolean[];
  readonly mid: boolean;
}

/** Fields that add or change tensors in ways that are not known here, with the values that do not. */
const plainValues: readonly [key: string, supported: readonly (string | number | boolean | null)[]][] = [
  ["addition_embed_type", [null]],
  ["class_embed_type", [null]],
  ["num_class_embeds", [null]],
  ["encoder_hid_dim", [null]],
  ["encoder_hid_dim_type", [null]],
  ["time_cond_proj_dim", [null]],
  ["time_embedding_type", ["positional"]],
  ["attention_type", ["default"]],
  ["cross_attention_norm", [null]],
  ["dual_cross_attention", [false]],
  ["only_cross_attention", [false]],
  ["mid_block_only_cross_attention", [false]],
  ["resnet_time_scale_shift", ["default"]],
  ["reverse_transformer_layers_per_block", [null]],
  ["num_attention_heads", [null]],
  ["conv_in_kernel", [3]],
  ["conv_out_kernel", [3]],
];

export function unetLayout(config: Config, file: string): UnetLayout {
  const read = readConfig(config, file);
  read.only("_class_name", ["UNet2DConditionModel"]);
  for (const [key, supported] of plainValues) read.only(key, supported);
  const cross = "CrossAttnDownBlock2D";
  const channels = read.counts("block_out_channels", [320, 640, 1280, 1280]);
  const down = read.names("down_block_types", [cross, cross, cross, "DownBlock2D"]);
  const up = read.names("up_block_types", [
    "UpBlock2D",
    "CrossAttnUpBlock2D",
    "CrossAttnUpBlock2D",
    "CrossAttnUpBlock2D",
  ]);
  if (down.length !== channels.length || up.length !== channels.length) {
    throw new FileError(
      `${file}: ${down.length} down_block_types, ${up.length} up_block_types and ${channels.length} block_out_channels do not agree`,
    );
  }
  for (const type of down) known(file, type, ["DownBlock2D", cross]);
  for (const type of up) known(file, type, ["UpBlock2D", "CrossAttnUpBlock2D"]);
  // null means that there is no mid block; only an absent key takes the default.
  const mid = config.mid_block_type !== null;
  if (mid) read.only("mid_block_type", ["UNetMidBlock2DCrossAttn"]);
  return {
    layers: read.countPerLevel("layers_per_block", channels.length, 2, maxLayers),
    channels,
    downAttention: down.map((type) => type === cross),
    upAttention: up.map((type) => type === "CrossAttnUpBlock2D"),
    mid,
  };
}

function known(file: string, type: string, types: readonly string[]): void {
  if (!types.includes(type)) {
    throw new FileError(
      `${file}: block type '${type.slice(0, 60)}' is not supported, ${types.join(" and ")} are`,
      "only UNets of the Stable Diffusion 1 and 2 kind are run",
    );
  }
}

/** Tensors of a `UNet2DConditionModel`, in diffusers' names.
 *  @throws {FileError} a config of another kind of model */
export function expectUnet(config: Config, file: string): ExpectedTensors {
  const read = readConfig(config, file);
  const { layers, channels, downAttention, upAttention, mid } = unetLayout(config, file);
  const levels = channels.length;
  const first = channels[0]!;
  const last = channels[levels - 1]!;
  const timeWidth = read.count("time_embedding_dim", 4 * first);
  const attention = attentionOf(read, levels);
  const list = shapeList();

  list.conv("conv_in", first, read.count("in_channels", 4), 3);
  list.linear("time_embedding.linear_1", timeWidth, first);
  list.linear("time_embedding.linear_2", timeWidth, timeWidth);

  for (let level = 0; level < levels; level++) {
    const out = channels[level]!;
    const name = `down_blocks.${level}`;
    for (let j = 0; j < layers[level]!; j++) {
      const into = j === 0 && level > 0 ? channels[level - 1]! : out;
      resnet(list, `${name}.resnets.${j}`, into, out, timeWidth);
      if (downAttention[level]!) attention(list, `${name}.attentions.${j}`, level, out);
    }
    if (level < levels - 1) list.conv(`${name}.downsamplers.0.conv`, out, out, 3);
  }

  if (mid) {
    resnet(list, "mid_block.resnets.0", last, last, timeWidth);
    attention(list, "mid_block.attentions.0", levels - 1, last);
    resnet(list, "mid_block.resnets.1", last, last, timeWidth);
  }

  for (let block = 0; block < levels; block++) {
    const level = levels - 1 - block;
    const out = channels[level]!;
    const name = `up_blocks.${block}`;
    const resnets = layers[level]! + 1;
    for (let j = 0; j < resnets; j++) {
      const from = j > 0 ? out : channels[Math.min(level + 1, levels - 1)]!;
      // The skip of the last resnet was made by the level above, or by conv_in.
      const skip = j < resnets - 1 ? out : channels[Math.max(level - 1, 0)]!;
      resnet(list, `${name}.resnets.${j}`, from + skip, out, timeWidth);
      if (upAttention[block]!) attention(list, `${name}.attentions.${j}`, level, out);
    }
    if (level > 0) list.conv(`${name}.upsamplers.0.conv`, out, out, 3);
  }

  list.norm("conv_norm_out", first);
  list.conv("conv_out", read.count("out_channels", 4), first, 3);
  return list.shapes;
}

/** How this config's spatial transformers are made up: by level, with `width` channels. */
function attentionOf(read: ConfigReader, levels: number) {
  const linear = read.flag("use_linear_projection", false);
  const context = read.countPerLevel("cross_attention_dim", levels, 1280);
  const depth = read.countPerLevel("transformer_layers_per_block", levels, 1, maxLayers);
  // diffusers calls the number of heads attention_head_dim.
  const heads = read.countPerLevel("attention_head_dim", levels, 8);
  return (list: ShapeList, name: string, level: number, width: number): void => {
    const inner = heads[level]! * Math.floor(width / heads[level]!);
    const project = (part: string, out: number, into: number): void =>
      linear ? list.linear(`${name}.${part}`, out, into) : list.conv(`${name}.${part}`, out, into, 1);
    list.norm(`${name}.norm`, width);
    project("proj_in", inner, width);
    for (let k = 0; k < depth[level]!; k++) {
      const block = `${name}.transformer_blocks.${k}`;
      list.norm(`${block}.norm1`, inner);
      attend(list, `${block}.attn1`, inner, inner);
      list.norm(`${block}.norm2`, inner);
      attend(list, `${block}.attn2`, inner, context[level]!);
      list.norm(`${block}.norm3`, inner);
      // GEGLU: values and gates side by side.
      list.linear(`${block}.ff.net.0.proj`, 8 * inner, inner);
      list.linear(`${block}.ff.net.2`, inner, 4 * inner);
    }
    project("proj_out", width, inner);
  };
}

function attend(list: ShapeList, name: string, width: number, context: number): void {
  list.linear(`${name}.to_q`, width, width, false);
  list.linear(`${name}.to_k`, width, context, false);
  list.linear(`${name}.to_v`, width, context, false);
  list.linear(`${name}.to_out.0`, width, width);
}
