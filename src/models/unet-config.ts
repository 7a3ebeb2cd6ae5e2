import { readConfig, type Config } from "../weights/config.ts";
import { unetLayout } from "../weights/keys/expect-unet.ts";

/** One resolution of the UNet. */
export interface UnetLevel {
  readonly channels: number;
  readonly layers: number;
  readonly heads: number;
  /** Transformer blocks in each attention of this level. */
  readonly transformerLayers: number;
  /** Whether the level attends on the way down, on the way up. */
  readonly downAttention: boolean;
  readonly upAttention: boolean;
}

/** UNet2DConditionModel's config, in the terms that the model function needs. */
export interface UnetConfig {
  readonly inChannels: number;
  readonly crossAttentionDim: number;
  /** From the finest. */
  readonly levels: readonly UnetLevel[];
  readonly hasMid: boolean;
  readonly groups: number;
  readonly eps: number;
  readonly flipSinToCos: boolean;
  readonly freqShift: number;
  readonly downsamplePadding: number;
  readonly sampleSize: number;
}

/** Reads unet/config.json.
 *  @throws {FileError} a field that this engine does not know how to honour, by name */
export function unetConfig(config: Config, file: string): UnetConfig {
  const c = readConfig(config, file);
  const { channels, layers, downAttention, upAttention, mid } = unetLayout(config, file);
  // What changes the arithmetic without changing any tensor's shape; the others are held to the file's tensors.
  c.only("act_fn", ["silu", "swish"]);
  c.only("center_input_sample", [false]);
  c.only("mid_block_scale_factor", [1]);
  const count = channels.length;
  // Historical misnomer: attention_head_dim is the number of heads.
  const heads = c.countPerLevel("attention_head_dim", count, 8);
  const transformer = c.countPerLevel("transformer_layers_per_block", count, 1);
  return {
    inChannels: c.count("in_channels", 4),
    crossAttentionDim: c.count("cross_attention_dim", 1280),
    levels: channels.map((width, i) => ({
      channels: width,
      layers: layers[i]!,
      heads: heads[i]!,
      transformerLayers: transformer[i]!,
      downAttention: downAttention[i]!,
      upAttention: upAttention[count - 1 - i]!,
    })),
    hasMid: mid,
    groups: c.count("norm_num_groups", 32),
    eps: c.number("norm_eps", 1e-5),
    flipSinToCos: c.flag("flip_sin_to_cos", true),
    freqShift: c.number("freq_shift", 0),
    downsamplePadding: c.number("downsample_padding", 1),
    sampleSize: c.count("sample_size", 64),
  };
}
