import { FileError } from "../errors.ts";
import { readConfig, type Config } from "./config.ts";

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
  readonly outChannels: number;
  readonly crossAttentionDim: number;
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
  const plain = "this engine runs SD1.x, SD2.x and their distilled UNets";
  c.only("_class_name", ["UNet2DConditionModel"], plain);
  c.only("addition_embed_type", [], "an SDXL-like UNet; it needs a second text encoder and size conditioning");
  c.only("class_embed_type", [], plain);
  c.only("encoder_hid_dim", [], plain);
  c.only("time_cond_proj_dim", [], "a guidance-embedded (LCM) UNet; W2SD needs plain ε or v predictions");
  c.only("act_fn", ["silu", "swish"], plain);
  c.only("resnet_time_scale_shift", ["default"], plain);
  c.only("time_embedding_type", ["positional"], plain);
  c.only("dual_cross_attention", [false], plain);
  c.only("only_cross_attention", [false], plain);
  c.only("center_input_sample", [false], plain);
  c.only("conv_in_kernel", [3], plain);
  c.only("conv_out_kernel", [3], plain);
  c.only("mid_block_scale_factor", [1], plain);
  c.only("num_class_embeds", [], plain);
  c.only("mid_block_only_cross_attention", [false], plain);
  c.only("attention_type", ["default"], plain);

  const channels = c.numbers("block_out_channels", [320, 640, 1280, 1280]);
  const down = c.strings("down_block_types");
  const up = c.strings("up_block_types");
  if (down.length !== channels.length || up.length !== channels.length) {
    throw new FileError(`${file}: ${channels.length} block_out_channels, ${down.length} down_block_types, ${up.length} up_block_types`);
  }
  const known = (types: readonly string[], cross: string, other: string) =>
    types.map((t) => {
      if (t !== cross && t !== other) throw new FileError(`${file}: block type '${t}' is unknown`, `this engine knows ${cross} and ${other}`);
      return t === cross;
    });
  const downAttention = known(down, "CrossAttnDownBlock2D", "DownBlock2D");
  const upAttention = known(up, "CrossAttnUpBlock2D", "UpBlock2D");
  // Historical misnomer: attention_head_dim is the number of heads, unless num_attention_heads is given.
  const headsKey = config["num_attention_heads"] == null ? "attention_head_dim" : "num_attention_heads";
  const heads = c.perLevel(headsKey, channels.length, 8);
  const layers = c.perLevel("layers_per_block", channels.length, 2);
  const transformer = c.perLevel("transformer_layers_per_block", channels.length, 1);
  const mid = config["mid_block_type"] === null ? null : c.string("mid_block_type", "UNetMidBlock2DCrossAttn");
  if (mid !== null && mid !== "UNetMidBlock2DCrossAttn") throw new FileError(`${file}: mid_block_type '${mid}' is unknown`, "this engine knows UNetMidBlock2DCrossAttn and null");
  return {
    inChannels: c.number("in_channels", 4),
    outChannels: c.number("out_channels", 4),
    crossAttentionDim: c.number("cross_attention_dim", 768),
    levels: channels.map((ch, i) => ({
      channels: ch,
      layers: layers[i]!,
      heads: heads[i]!,
      transformerLayers: transformer[i]!,
      downAttention: downAttention[i]!,
      upAttention: upAttention[channels.length - 1 - i]!,
    })),
    hasMid: mid !== null,
    groups: c.number("norm_num_groups", 32),
    eps: c.number("norm_eps", 1e-5),
    flipSinToCos: c.boolean("flip_sin_to_cos", true),
    freqShift: c.number("freq_shift", 0),
    downsamplePadding: c.number("downsample_padding", 1),
    sampleSize: c.number("sample_size", 64),
  };
}
