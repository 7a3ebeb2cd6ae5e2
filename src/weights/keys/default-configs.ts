import type { Config } from "../config.ts";

/** Configs that go with a single file, which has none of its own. */
export interface FamilyConfigs {
  readonly unet: Config;
  readonly vae: Config;
  readonly textEncoder: Config;
  readonly scheduler: Config;
  /** What fills a prompt up to 77 tokens: the one thing in which the families' tokenizers differ. */
  readonly specialTokensMap: Config;
}

const sd1Unet: Config = {
  _class_name: "UNet2DConditionModel",
  act_fn: "silu",
  attention_head_dim: 8,
  block_out_channels: [320, 640, 1280, 1280],
  center_input_sample: false,
  cross_attention_dim: 768,
  down_block_types: ["CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"],
  downsample_padding: 1,
  flip_sin_to_cos: true,
  freq_shift: 0,
  in_channels: 4,
  layers_per_block: 2,
  mid_block_scale_factor: 1,
  norm_eps: 1e-5,
  norm_num_groups: 32,
  out_channels: 4,
  sample_size: 64,
  up_block_types: ["UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"],
};

const sd1Vae: Config = {
  _class_name: "AutoencoderKL",
  act_fn: "silu",
  block_out_channels: [128, 256, 512, 512],
  down_block_types: ["DownEncoderBlock2D", "DownEncoderBlock2D", "DownEncoderBlock2D", "DownEncoderBlock2D"],
  in_channels: 3,
  latent_channels: 4,
  layers_per_block: 2,
  norm_num_groups: 32,
  out_channels: 3,
  sample_size: 512,
  scaling_factor: 0.18215,
  up_block_types: ["UpDecoderBlock2D", "UpDecoderBlock2D", "UpDecoderBlock2D", "UpDecoderBlock2D"],
};

const sd1Text: Config = {
  architectures: ["CLIPTextModel"],
  bos_token_id: 49406,
  eos_token_id: 49407,
  hidden_act: "quick_gelu",
  hidden_size: 768,
  intermediate_size: 3072,
  layer_norm_eps: 1e-5,
  max_position_embeddings: 77,
  model_type: "clip_text_model",
  num_attention_heads: 12,
  num_hidden_layers: 12,
  projection_dim: 768,
  vocab_size: 49408,
};

const sdScheduler: Config = {
  _class_name: "PNDMScheduler",
  beta_end: 0.012,
  beta_schedule: "scaled_linear",
  beta_start: 0.00085,
  clip_sample: false,
  num_train_timesteps: 1000,
  prediction_type: "epsilon",
  set_alpha_to_one: false,
  skip_prk_steps: true,
  steps_offset: 1,
  timestep_spacing: "leading",
  trained_betas: null,
};

export const familyConfigs: Readonly<Record<"sd1" | "sd2", FamilyConfigs>> = {
  sd1: {
    unet: sd1Unet,
    vae: sd1Vae,
    textEncoder: sd1Text,
    scheduler: sdScheduler,
    specialTokensMap: { pad_token: "<|endoftext|>" },
  },
  sd2: {
    unet: {
      ...sd1Unet,
      attention_head_dim: [5, 10, 20, 20],
      cross_attention_dim: 1024,
      sample_size: 96,
      upcast_attention: true,
      use_linear_projection: true,
    },
    vae: { ...sd1Vae, sample_size: 768 },
    textEncoder: {
      ...sd1Text,
      hidden_act: "gelu",
      hidden_size: 1024,
      intermediate_size: 4096,
      num_attention_heads: 16,
      num_hidden_layers: 23,
      projection_dim: 512,
    },
    scheduler: { ...sdScheduler, _class_name: "DDIMScheduler", prediction_type: "v_prediction" },
    specialTokensMap: { pad_token: "!" },
  },
};
