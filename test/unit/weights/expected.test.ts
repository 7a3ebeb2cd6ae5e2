import { createHash } from "node:crypto";
import { describe, expect, test } from "vitest";
import { FileError } from "../../../src/errors.ts";
import { elementCount } from "../../../src/tensor.ts";
import type { Config } from "../../../src/weights/config.ts";
import { familyConfigs } from "../../../src/weights/keys/default-configs.ts";
import { expectedTensors } from "../../../src/weights/keys/expected.ts";
import { tinyConfigs, type Part } from "./fake-checkpoints.ts";

const { sd1, sd2 } = familyConfigs;
const taesd = { _class_name: "AutoencoderTiny" };
const small = { ...sd1.unet, layers_per_block: 1 };
const cross = "CrossAttnDownBlock2D";
const tiny = {
  ...small,
  mid_block_type: null,
  block_out_channels: [320, 640, 1280],
  down_block_types: [cross, cross, cross],
  up_block_types: ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"],
};

const parameters = (part: Part, config: Config, prefix = ""): number =>
  [...expectedTensors(part, config, "c")].reduce(
    (n, [name, shape]) => n + (name.startsWith(prefix) ? elementCount(shape) : 0),
    0,
  );

const sdVae = { ...sd1.vae, layers_per_block: 1, latent_channels: 16, mid_block_add_attention: false };
const crossDown = (n: number): string[] => Array.from({ length: n }, () => cross);
const crossUp = (n: number): string[] => Array.from({ length: n }, () => "CrossAttnUpBlock2D");
const uneven = {
  block_out_channels: [32, 64],
  down_block_types: ["DownBlock2D", cross],
  up_block_types: ["CrossAttnUpBlock2D", "UpBlock2D"],
  cross_attention_dim: 32,
  attention_head_dim: [2, 4],
  transformer_layers_per_block: [1, 3],
  layers_per_block: [1, 2],
};
const level = {
  block_out_channels: [32],
  down_block_types: crossDown(1),
  up_block_types: crossUp(1),
  cross_attention_dim: 32,
};
const thirds = {
  block_out_channels: [32, 64],
  down_block_types: crossDown(2),
  up_block_types: crossUp(2),
  attention_head_dim: 3,
};
const smallTaesd = {
  ...taesd,
  encoder_block_out_channels: [16, 16, 16],
  decoder_block_out_channels: [8, 8, 8],
  num_encoder_blocks: [1, 2, 1],
  num_decoder_blocks: [2, 1, 1],
  latent_channels: 3,
};

// The last column is the sha256, cut to 16 digits, of the lines "name d0,d1,…" sorted and joined by newlines, made of
// model.state_dict() in diffusers 0.42.1 and transformers 5.23.0 (on the meta device), `text_model.` put before text names.
test.each<[string, Part, Config, number, string]>([
  ["SD1.5 unet", "unet", sd1.unet, 686, "f8fb313c883791d7"],
  ["SD1.5 vae", "vae", sd1.vae, 248, "e35b8495640e49ff"],
  ["SD1.5 text", "text_encoder", sd1.textEncoder, 196, "d262a60d3730e018"],
  ["SD2.1 unet", "unet", sd2.unet, 686, "eb6babef435c36ea"],
  ["SD2.1 text", "text_encoder", sd2.textEncoder, 372, "a29f889b0a47851d"],
  ["BK-SDM base", "unet", small, 442, "579fe7f76732dd22"],
  ["BK-SDM small", "unet", { ...small, mid_block_type: null }, 396, "1df7c447a1fb6991"],
  ["BK-SDM tiny", "unet", tiny, 358, "41875a80f436cc0a"],
  ["TAESD", "vae", taesd, 134, "b78af0727f304631"],
  ["a small TAESD", "vae", smallTaesd, 60, "cb21df438cf7c32a"],
  ["levels of different depth and heads", "unet", uneven, 522, "f7523bae792a5e25"],
  [
    "one level, its own time width",
    "unet",
    { ...level, attention_head_dim: 4, time_embedding_dim: 64 },
    242,
    "e9f70bb6fffae8e0",
  ],
  [
    "heads that do not divide",
    "unet",
    { ...thirds, cross_attention_dim: [16, 24], in_channels: 5, out_channels: 5 },
    434,
    "095061b3f5d2e0a4",
  ],
  ["the VAE of the defaults", "vae", {}, 92, "8721edf02e2264bf"],
  [
    "a VAE without quant convs and attention",
    "vae",
    { ...sdVae, use_quant_conv: false, use_post_quant_conv: false },
    160,
    "f2ac9f6e458c2b71",
  ],
  ["the text encoder of the defaults", "text_encoder", {}, 196, "bbd2c30a935cbb86"],
])("%s: names and shapes are diffusers'", (_, part, config, tensors, digest) => {
  const lines = [...expectedTensors(part, config, "c")].map(([name, shape]) => `${name} ${shape.join(",")}`).sort();
  expect(lines).toHaveLength(tensors);
  expect(createHash("sha256").update(lines.join("\n")).digest("hex").slice(0, 16)).toBe(digest);
});

test.each<[string, Part, Config, number]>([
  ["SD1.5 unet", "unet", sd1.unet, 859_520_964],
  ["SD1.5 vae", "vae", sd1.vae, 83_653_863],
  ["SD1.5 text", "text_encoder", sd1.textEncoder, 123_060_480],
  ["SD2.1 unet", "unet", sd2.unet, 865_910_724],
  ["SD2.1 text", "text_encoder", sd2.textEncoder, 340_387_840],
  ["BK-SDM base", "unet", small, 579_384_964],
  ["BK-SDM small", "unet", { ...small, mid_block_type: null }, 482_346_884],
  ["BK-SDM tiny", "unet", tiny, 323_384_964],
  ["TAESD", "vae", taesd, 2_445_063],
])("%s: as many parameters as published", (_, part, config, count) => {
  expect(parameters(part, config)).toBe(count);
});

test("the parts of the VAEs", () => {
  const of = (prefix: string): number => parameters("vae", sd1.vae, prefix);
  expect([of("encoder."), of("decoder."), of("quant_conv."), of("post_quant_conv.")]).toEqual([
    34_163_592, 49_490_179, 72, 20,
  ]);
  expect([parameters("vae", taesd, "encoder."), parameters("vae", taesd, "decoder.")]).toEqual([1_222_532, 1_222_531]);
});

test("what a config leaves out takes diffusers' defaults", () => {
  const written = expectedTensors("unet", { ...sd1.unet, cross_attention_dim: 1280 }, "c");
  expect(expectedTensors("unet", {}, "c")).toEqual(written);
  expect(expectedTensors("vae", {}, "c").get("decoder.conv_in.weight")).toEqual([64, 4, 3, 3]);
  expect(expectedTensors("text_encoder", {}, "c").get("text_model.embeddings.token_embedding.weight")).toEqual([
    49408, 512,
  ]);
});

test("shapes by level, where a config gives lists", () => {
  const config = {
    ...tinyConfigs.unet,
    up_block_types: ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D"],
    down_block_types: [cross, cross],
  };
  const shapes = expectedTensors(
    "unet",
    { ...config, cross_attention_dim: [12, 20], transformer_layers_per_block: [1, 2], layers_per_block: [1, 2] },
    "c",
  );
  expect(shapes.get("down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k.weight")).toEqual([8, 12]);
  expect(shapes.get("up_blocks.0.attentions.2.transformer_blocks.1.attn2.to_k.weight")).toEqual([16, 20]);
  expect(shapes.get("mid_block.attentions.0.transformer_blocks.1.attn2.to_k.weight")).toEqual([16, 20]);
  expect(shapes.has("down_blocks.0.resnets.1.norm1.weight")).toBe(false);
  expect(shapes.has("up_blocks.1.resnets.2.norm1.weight")).toBe(false);
  expect(shapes.has("up_blocks.0.resnets.2.norm1.weight")).toBe(true);
  expect(shapes.get("up_blocks.1.resnets.0.conv1.weight")).toEqual([8, 16 + 8, 3, 3]);
  expect(shapes.get("time_embedding.linear_1.weight")).toEqual([32, 8]);
});

describe("a config of another kind of model is refused, naming file and field", () => {
  test.each<[Part, Config, RegExp]>([
    [
      "unet",
      { _class_name: "UNet2DModel" },
      /unet\/config\.json: '_class_name' is "UNet2DModel", only "UNet2DConditionModel"/,
    ],
    ["unet", { addition_embed_type: "text_time" }, /'addition_embed_type' is "text_time"/],
    ["unet", { class_embed_type: "projection" }, /'class_embed_type'/],
    ["unet", { num_class_embeds: 10 }, /'num_class_embeds' is 10/],
    ["unet", { time_cond_proj_dim: 256 }, /'time_cond_proj_dim'/],
    ["unet", { dual_cross_attention: true }, /'dual_cross_attention' is true/],
    ["unet", { only_cross_attention: [false, true, false, false] }, /'only_cross_attention'/],
    ["unet", { resnet_time_scale_shift: "scale_shift" }, /'resnet_time_scale_shift'/],
    ["unet", { mid_block_type: "UNetMidBlock2D" }, /'mid_block_type'/],
    [
      "unet",
      { down_block_types: ["AttnDownBlock2D"], up_block_types: ["UpBlock2D"], block_out_channels: [8] },
      /'AttnDownBlock2D' is not supported/,
    ],
    [
      "unet",
      { up_block_types: ["SimpleCrossAttnUpBlock2D", "UpBlock2D", "UpBlock2D", "UpBlock2D"] },
      /'SimpleCrossAttnUpBlock2D'/,
    ],
    ["unet", { block_out_channels: [8, 16] }, /4 down_block_types, 4 up_block_types and 2 block_out_channels/],
    ["unet", { block_out_channels: [320, 0, 1, 1] }, /'block_out_channels' is \[320,0,1,1\], a list of whole numbers/],
    ["unet", { block_out_channels: "320" }, /'block_out_channels' is "320"/],
    ["unet", { class_embed_type: [] }, /'class_embed_type' is \[\]/],
    ["unet", { layers_per_block: 1.5 }, /'layers_per_block' is 1\.5/],
    ["unet", { layers_per_block: [1, 2] }, /'layers_per_block' is \[1,2\], a list of 4/],
    ["unet", { cross_attention_dim: 1e12 }, /'cross_attention_dim'/],
    ["unet", { use_linear_projection: "yes" }, /'use_linear_projection' is "yes", true or false/],
    ["unet", { down_block_types: [1] }, /'down_block_types' is \[1\], a list of names/],
    ["vae", { _class_name: "AutoencoderKLWan" }, /'_class_name' is "AutoencoderKLWan"/],
    [
      "vae",
      { block_out_channels: [4, 8], down_block_types: ["DownEncoderBlock2D", "AttnDownEncoderBlock2D"] },
      /'down_block_types' is \[DownEncoder/,
    ],
    ["vae", { block_out_channels: [4, 8], up_block_types: ["UpDecoderBlock2D"] }, /2 of UpDecoderBlock2D/],
    [
      "vae",
      { _class_name: "AutoencoderTiny", num_decoder_blocks: [3, 1] },
      /'num_decoder_blocks' has 2 entries for 4 levels/,
    ],
    ["text_encoder", { architectures: ["T5EncoderModel"] }, /'T5EncoderModel' is not supported/],
    ["text_encoder", { num_hidden_layers: 1e9 }, /'num_hidden_layers' is 1000000000, a whole number from 1 to 256/],
  ])("%s %j", (part, config, message) => {
    expect(() => expectedTensors(part, config, `${part}/config.json`)).toThrow(FileError);
    expect(() => expectedTensors(part, config, `${part}/config.json`)).toThrow(message);
  });

  test("values that say what the default is are taken", () => {
    const plain = {
      ...tinyConfigs.unet,
      only_cross_attention: [false, false],
      class_embed_type: null,
      num_attention_heads: null,
    };
    expect(expectedTensors("unet", plain, "c")).toEqual(expectedTensors("unet", tinyConfigs.unet, "c"));
  });
});
