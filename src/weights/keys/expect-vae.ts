import { FileError } from "../../errors.ts";
import { maxLayers, readConfig, type Config, type ConfigReader } from "../config.ts";
import { resnet, shapeList, type ExpectedTensors, type ShapeList } from "./shapes.ts";

/** Tensors of an `AutoencoderKL` or `AutoencoderTiny`, in diffusers' names.
 *  @throws {FileError} a config of another kind of model */
export function expectVae(config: Config, file: string): ExpectedTensors {
  const read = readConfig(config, file);
  read.only("_class_name", ["AutoencoderKL", "AutoencoderTiny"]);
  return config._class_name === "AutoencoderTiny" ? expectTiny(read) : expectKl(read);
}

function expectKl(read: ConfigReader): ExpectedTensors {
  const channels = read.counts("block_out_channels", [64]);
  checkBlocks(read, "down_block_types", "DownEncoderBlock2D", channels.length);
  checkBlocks(read, "up_block_types", "UpDecoderBlock2D", channels.length);
  const layers = read.count("layers_per_block", 1, maxLayers);
  const latent = read.count("latent_channels", 4);
  const withAttention = read.flag("mid_block_add_attention", true);
  const first = channels[0]!;
  const last = channels[channels.length - 1]!;
  const list = shapeList();

  list.conv("encoder.conv_in", first, read.count("in_channels", 3), 3);
  channels.forEach((out, level) => {
    const name = `encoder.down_blocks.${level}`;
    for (let j = 0; j < layers; j++) {
      resnet(list, `${name}.resnets.${j}`, j === 0 && level > 0 ? channels[level - 1]! : out, out);
    }
    if (level < channels.length - 1) list.conv(`${name}.downsamplers.0.conv`, out, out, 3);
  });
  middle(list, "encoder", last, withAttention);
  list.norm("encoder.conv_norm_out", last);
  // Mean and log variance.
  list.conv("encoder.conv_out", 2 * latent, last, 3);
  if (read.flag("use_quant_conv", true)) list.conv("quant_conv", 2 * latent, 2 * latent, 1);

  if (read.flag("use_post_quant_conv", true)) list.conv("post_quant_conv", latent, latent, 1);
  list.conv("decoder.conv_in", last, latent, 3);
  middle(list, "decoder", last, withAttention);
  const coarseFirst = [...channels].reverse();
  coarseFirst.forEach((out, block) => {
    const name = `decoder.up_blocks.${block}`;
    for (let j = 0; j <= layers; j++) {
      resnet(list, `${name}.resnets.${j}`, j === 0 && block > 0 ? coarseFirst[block - 1]! : out, out);
    }
    if (block < channels.length - 1) list.conv(`${name}.upsamplers.0.conv`, out, out, 3);
  });
  list.norm("decoder.conv_norm_out", first);
  list.conv("decoder.conv_out", read.count("out_channels", 3), first, 3);
  return list.shapes;
}

function middle(list: ShapeList, half: string, width: number, withAttention: boolean): void {
  resnet(list, `${half}.mid_block.resnets.0`, width, width);
  if (withAttention) {
    const name = `${half}.mid_block.attentions.0`;
    list.norm(`${name}.group_norm`, width);
    for (const part of ["to_q", "to_k", "to_v", "to_out.0"]) list.linear(`${name}.${part}`, width, width);
  }
  resnet(list, `${half}.mid_block.resnets.1`, width, width);
}

function checkBlocks(read: ConfigReader, key: string, type: string, levels: number): void {
  const types = read.names(
    key,
    Array.from({ length: levels }, () => type),
  );
  if (types.length === levels && types.every((t) => t === type)) return;
  throw new FileError(
    `${read.file}: '${key}' is [${types.join(", ").slice(0, 80)}], ${levels} of ${type} are supported`,
  );
}

/** Both halves are flat lists of layers; activations and upsampling take a place in the numbering but hold nothing. */
function expectTiny(read: ConfigReader): ExpectedTensors {
  const latent = read.count("latent_channels", 4);
  const list = shapeList();

  const down = read.counts("encoder_block_out_channels", [64, 64, 64, 64]);
  const encoderBlocks = blocksPerLevel(read, "num_encoder_blocks", down.length, [1, 3, 3, 3]);
  let layer = 0;
  const encoder = (): string => `encoder.layers.${layer++}`;
  down.forEach((width, level) => {
    if (level === 0) list.conv(encoder(), width, read.count("in_channels", 3), 3);
    else list.conv(encoder(), width, width, 3, false);
    for (let j = 0; j < encoderBlocks[level]!; j++) tinyBlock(list, encoder(), width);
  });
  list.conv(encoder(), latent, down[down.length - 1]!, 3);

  const up = read.counts("decoder_block_out_channels", [64, 64, 64, 64]);
  const decoderBlocks = blocksPerLevel(read, "num_decoder_blocks", up.length, [3, 3, 3, 1]);
  list.conv("decoder.layers.0", up[0]!, latent, 3);
  layer = 2; // an activation
  up.forEach((width, level) => {
    const final = level === up.length - 1;
    for (let j = 0; j < decoderBlocks[level]!; j++) tinyBlock(list, `decoder.layers.${layer++}`, width);
    if (!final) layer++; // upsampling
    list.conv(`decoder.layers.${layer++}`, final ? read.count("out_channels", 3) : width, width, 3, final);
  });
  return list.shapes;
}

function blocksPerLevel(
  read: ConfigReader,
  key: string,
  levels: number,
  fallback: readonly number[],
): readonly number[] {
  const blocks = read.counts(key, fallback, maxLayers);
  if (blocks.length === levels) return blocks;
  throw new FileError(`${read.file}: '${key}' has ${blocks.length} entries for ${levels} levels`);
}

function tinyBlock(list: ShapeList, name: string, width: number): void {
  for (const part of [0, 2, 4]) list.conv(`${name}.conv.${part}`, width, width, 3);
}
