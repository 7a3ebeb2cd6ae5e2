import { describe, expect, test } from "vitest";
import { FileError } from "../../../src/errors.ts";
import type { Config } from "../../../src/weights/config.ts";
import { familyConfigs } from "../../../src/weights/keys/default-configs.ts";
import { unetLayout } from "../../../src/weights/keys/expect-unet.ts";
import { expectedTensors } from "../../../src/weights/keys/expected.ts";
import { ldmUnetKey, ldmVaeKey, openClipKey } from "../../../src/weights/keys/ldm-names.ts";
import { tinyConfigs } from "./fake-checkpoints.ts";

const { sd1, sd2 } = familyConfigs;

describe("literal pairs of SD1.5", () => {
  const layout = unetLayout(sd1.unet, "c");
  test.each([
    ["conv_in.weight", "input_blocks.0.0.weight"],
    ["conv_norm_out.bias", "out.0.bias"],
    ["conv_out.weight", "out.2.weight"],
    ["time_embedding.linear_1.weight", "time_embed.0.weight"],
    ["time_embedding.linear_2.bias", "time_embed.2.bias"],
    ["down_blocks.0.resnets.0.norm1.weight", "input_blocks.1.0.in_layers.0.weight"],
    ["down_blocks.0.resnets.1.conv1.weight", "input_blocks.2.0.in_layers.2.weight"],
    [
      "down_blocks.0.attentions.1.transformer_blocks.0.attn2.to_k.weight",
      "input_blocks.2.1.transformer_blocks.0.attn2.to_k.weight",
    ],
    ["down_blocks.0.downsamplers.0.conv.weight", "input_blocks.3.0.op.weight"],
    ["down_blocks.1.resnets.0.time_emb_proj.weight", "input_blocks.4.0.emb_layers.1.weight"],
    ["down_blocks.1.resnets.0.conv_shortcut.weight", "input_blocks.4.0.skip_connection.weight"],
    ["down_blocks.2.attentions.0.proj_in.weight", "input_blocks.7.1.proj_in.weight"],
    ["down_blocks.3.resnets.1.conv2.weight", "input_blocks.11.0.out_layers.3.weight"],
    ["mid_block.resnets.0.norm2.weight", "middle_block.0.out_layers.0.weight"],
    ["mid_block.attentions.0.norm.weight", "middle_block.1.norm.weight"],
    ["mid_block.resnets.1.conv1.bias", "middle_block.2.in_layers.2.bias"],
    ["up_blocks.0.resnets.0.norm1.weight", "output_blocks.0.0.in_layers.0.weight"],
    ["up_blocks.0.upsamplers.0.conv.weight", "output_blocks.2.1.conv.weight"],
    [
      "up_blocks.1.attentions.2.transformer_blocks.0.ff.net.0.proj.weight",
      "output_blocks.5.1.transformer_blocks.0.ff.net.0.proj.weight",
    ],
    ["up_blocks.1.upsamplers.0.conv.bias", "output_blocks.5.2.conv.bias"],
    ["up_blocks.2.upsamplers.0.conv.weight", "output_blocks.8.2.conv.weight"],
    ["up_blocks.3.attentions.2.proj_out.weight", "output_blocks.11.1.proj_out.weight"],
    ["up_blocks.3.resnets.2.conv_shortcut.weight", "output_blocks.11.0.skip_connection.weight"],
  ])("unet %s", (name, key) => expect(ldmUnetKey(name, layout)).toEqual({ key }));

  test.each([
    ["encoder.conv_in.weight", "encoder.conv_in.weight"],
    ["quant_conv.weight", "quant_conv.weight"],
    ["post_quant_conv.bias", "post_quant_conv.bias"],
    ["encoder.conv_norm_out.weight", "encoder.norm_out.weight"],
    ["decoder.conv_norm_out.weight", "decoder.norm_out.weight"],
    ["encoder.down_blocks.1.resnets.0.conv_shortcut.weight", "encoder.down.1.block.0.nin_shortcut.weight"],
    ["encoder.down_blocks.2.downsamplers.0.conv.bias", "encoder.down.2.downsample.conv.bias"],
    ["decoder.up_blocks.0.resnets.2.norm1.weight", "decoder.up.3.block.2.norm1.weight"],
    ["decoder.up_blocks.3.resnets.0.conv2.weight", "decoder.up.0.block.0.conv2.weight"],
    ["decoder.up_blocks.2.upsamplers.0.conv.weight", "decoder.up.1.upsample.conv.weight"],
    ["encoder.mid_block.resnets.0.norm1.weight", "encoder.mid.block_1.norm1.weight"],
    ["decoder.mid_block.resnets.1.conv1.weight", "decoder.mid.block_2.conv1.weight"],
    ["decoder.mid_block.attentions.0.group_norm.weight", "decoder.mid.attn_1.norm.weight"],
    ["encoder.mid_block.attentions.0.to_q.weight", "encoder.mid.attn_1.q.weight"],
    ["encoder.mid_block.attentions.0.to_out.0.bias", "encoder.mid.attn_1.proj_out.bias"],
  ])("vae %s", (name, key) => expect(ldmVaeKey(name, 4)).toEqual({ key }));

  test.each([
    ["text_model.embeddings.token_embedding.weight", { key: "token_embedding.weight" }],
    ["text_model.embeddings.position_embedding.weight", { key: "positional_embedding" }],
    ["text_model.final_layer_norm.bias", { key: "ln_final.bias" }],
    ["text_model.encoder.layers.22.layer_norm1.weight", { key: "transformer.resblocks.22.ln_1.weight" }],
    ["text_model.encoder.layers.0.mlp.fc1.bias", { key: "transformer.resblocks.0.mlp.c_fc.bias" }],
    ["text_model.encoder.layers.0.mlp.fc2.weight", { key: "transformer.resblocks.0.mlp.c_proj.weight" }],
    [
      "text_model.encoder.layers.3.self_attn.q_proj.weight",
      { key: "transformer.resblocks.3.attn.in_proj_weight", third: 0 },
    ],
    [
      "text_model.encoder.layers.3.self_attn.v_proj.bias",
      { key: "transformer.resblocks.3.attn.in_proj_bias", third: 2 },
    ],
    ["text_model.encoder.layers.3.self_attn.out_proj.weight", { key: "transformer.resblocks.3.attn.out_proj.weight" }],
  ])("openclip %s", (name, key) => expect(openClipKey(name)).toEqual(key));
});

/** The other way, as the converters of the field go: by counting blocks. Written apart from the code under test. */
function fromLdmUnet(key: string, L: number): string {
  const inner: [string, string][] = [
    ["in_layers.0.", "norm1."],
    ["in_layers.2.", "conv1."],
    ["emb_layers.1.", "time_emb_proj."],
    ["out_layers.0.", "norm2."],
    ["out_layers.3.", "conv2."],
    ["skip_connection.", "conv_shortcut."],
  ];
  const parts = key.split(".");
  const rest = parts.slice(3).join(".");
  const resnet = inner.reduce(
    (text, [from, to]) => (text.startsWith(from) ? to + text.slice(from.length) : text),
    rest,
  );
  const i = Number(parts[1]);
  if (key.startsWith("time_embed.")) return `time_embedding.linear_${parts[1] === "0" ? 1 : 2}.${parts[2]}`;
  if (key.startsWith("input_blocks.0.")) return `conv_in.${parts[3]}`;
  if (key.startsWith("out.")) return `${i === 0 ? "conv_norm_out" : "conv_out"}.${parts[2]}`;
  if (parts[0] === "middle_block") {
    const tail = parts.slice(2).join(".");
    const renamed = inner.reduce(
      (text, [from, to]) => (text.startsWith(from) ? to + text.slice(from.length) : text),
      tail,
    );
    return i === 1 ? `mid_block.attentions.0.${tail}` : `mid_block.resnets.${i / 2}.${renamed}`;
  }
  if (parts[0] === "input_blocks") {
    const [block, j] = [Math.floor((i - 1) / (L + 1)), (i - 1) % (L + 1)];
    if (rest.startsWith("op.")) return `down_blocks.${block}.downsamplers.0.conv.${parts[4]}`;
    return parts[2] === "0"
      ? `down_blocks.${block}.resnets.${j}.${resnet}`
      : `down_blocks.${block}.attentions.${j}.${rest}`;
  }
  const [block, j] = [Math.floor(i / (L + 1)), i % (L + 1)];
  if (rest.startsWith("conv.")) return `up_blocks.${block}.upsamplers.0.${rest}`;
  return parts[2] === "0" ? `up_blocks.${block}.resnets.${j}.${resnet}` : `up_blocks.${block}.attentions.${j}.${rest}`;
}

const cross = ["CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"];
test.each<[string, Config, number]>([
  ["SD1.5", sd1.unet, 686],
  ["SD2.1", sd2.unet, 686],
  ["one layer", { ...sd1.unet, layers_per_block: 1 }, 442],
  ["three layers", { ...sd1.unet, layers_per_block: 3 }, 930],
  [
    "BK-SDM tiny",
    {
      ...sd1.unet,
      layers_per_block: 1,
      mid_block_type: null,
      block_out_channels: [320, 640, 1280],
      down_block_types: cross,
      up_block_types: cross.map((t) => t.replace("Down", "Up")),
    },
    358,
  ],
  ["two levels", tinyConfigs.unet, 0],
])("unet %s: one key a name, and back by counting blocks", (_, config, tensors) => {
  const names = [...expectedTensors("unet", config, "c").keys()];
  const layout = unetLayout(config, "c");
  const keys = names.map((name) => ldmUnetKey(name, layout).key);
  expect(new Set(keys).size).toBe(names.length);
  expect(keys.map((key) => fromLdmUnet(key, layout.layers[0]!))).toEqual(names);
  if (tensors > 0) expect(names.length).toBe(tensors);
});

test("vae and text keys are distinct too", () => {
  const vae = [...expectedTensors("vae", sd1.vae, "c").keys()].map((name) => ldmVaeKey(name, 4).key);
  expect(new Set(vae).size).toBe(248);
  const text = [...expectedTensors("text_encoder", sd2.textEncoder, "c").keys()].map(openClipKey);
  expect(new Set(text.map(({ key, third }) => `${key} ${third}`)).size).toBe(372);
  // q, k and v of 23 layers, weight and bias, are in one tensor each.
  expect(new Set(text.map(({ key }) => key)).size).toBe(372 - 23 * 2 * 2);
});

test("levels of different depth have no single-file numbering", () => {
  const layout = unetLayout({ ...tinyConfigs.unet, layers_per_block: [1, 2] }, "c");
  expect(() => ldmUnetKey("conv_in.weight", layout)).toThrow(FileError);
});
