import { describe, expect, test } from "vitest";
import { FileError } from "../../../src/errors.ts";
import { detectFamily, needFamily } from "../../../src/weights/keys/family.ts";

type Shapes = Record<string, number[]>;
const tensors = (shapes: Shapes) => new Map(Object.entries(shapes).map(([name, shape]) => [name, { shape }]));

const convIn = (channels: number): Shapes => ({
  "model.diffusion_model.input_blocks.0.0.weight": [320, channels, 3, 3],
});
const context = (width: number): Shapes => ({
  "model.diffusion_model.input_blocks.2.1.transformer_blocks.0.attn2.to_k.weight": [320, width],
});

describe("run", () => {
  test.each<[string, Shapes, string]>([
    ["SD1", { ...convIn(4), ...context(768) }, "sd1"],
    ["SD2", { ...convIn(4), ...context(1024) }, "sd2"],
    ["a size of its own", convIn(4), "sd1"],
    [
      "SD1 with stray LoRA keys",
      { ...convIn(4), ...context(768), lora_unet_x: [1], "a.lora_down.weight": [4, 4] },
      "sd1",
    ],
    ["SD1 with a few averaged keys", { ...convIn(4), ...context(768), "model_ema.decay": [] }, "sd1"],
  ])("%s", (_, shapes, family) => {
    expect(needFamily(tensors(shapes), "f")).toBe(family);
  });
});

describe("refused by name", () => {
  test.each<[name: string, shapes: Shapes, label: RegExp]>([
    ["SD1 inpainting", { ...convIn(9), ...context(768) }, /Stable Diffusion 1\.x inpainting/],
    ["SD2 inpainting", { ...convIn(9), ...context(1024) }, /Stable Diffusion 2\.x inpainting/],
    ["instruct-pix2pix", convIn(8), /InstructPix2Pix/],
    ["SD2 depth", { ...convIn(5), ...context(1024) }, /2\.x depth/],
    ["upscaler", convIn(7), /upscaler/],
    [
      "SDXL base",
      { ...convIn(4), "conditioner.embedders.1.model.transformer.resblocks.9.mlp.c_proj.bias": [1280] },
      /SDXL base/,
    ],
    [
      "SDXL inpainting",
      { ...convIn(9), "conditioner.embedders.1.model.transformer.resblocks.9.mlp.c_proj.bias": [1280] },
      /SDXL base/,
    ],
    [
      "SDXL refiner",
      { ...convIn(4), "conditioner.embedders.0.model.transformer.resblocks.9.mlp.c_proj.bias": [1280] },
      /SDXL refiner/,
    ],
    [
      "SDXL's UNet alone",
      {
        ...convIn(4),
        "model.diffusion_model.label_emb.0.0.weight": [1280, 2816],
        "model.diffusion_model.input_blocks.4.1.transformer_blocks.0.attn2.to_k.weight": [640, 2048],
      },
      /SDXL base, its UNet alone/,
    ],
    [
      "unCLIP",
      { ...convIn(4), ...context(1024), "model.diffusion_model.label_emb.0.0.weight": [1280, 2048] },
      /image or class embeddings/,
    ],
    ["Playground", { ...convIn(4), edm_mean: [4] }, /Playground/],
    ["ControlNet, LDM", { ...convIn(4), "control_model.time_embed.0.weight": [1280, 320] }, /ControlNet/],
    ["ControlNet, diffusers", { "controlnet_cond_embedding.conv_in.weight": [16, 3, 3, 3] }, /ControlNet/],
    ["IP-Adapter", { "image_proj.proj.weight": [1], "ip_adapter.1.to_k_ip.weight": [1] }, /IP-Adapter/],
    [
      "SD3",
      { "model.diffusion_model.joint_blocks.0.context_block.adaLN_modulation.1.bias": [9216] },
      /Stable Diffusion 3/,
    ],
    ["FLUX", { "double_blocks.0.img_attn.norm.key_norm.scale": [128] }, /FLUX/],
    ["FLUX in a checkpoint", { "model.diffusion_model.double_blocks.0.img_attn.norm.key_norm.scale": [128] }, /FLUX/],
    ["Stable Cascade", { "clip_txt_mapper.weight": [2048, 1280] }, /Stable Cascade/],
    ["Wan", { "head.modulation": [1, 2, 1536] }, /Wan/],
    ["AnimateDiff", { "down_blocks.0.motion_modules.0.temporal_transformer.norm.weight": [320] }, /AnimateDiff/],
    ["textual inversion", { emb_params: [4, 768] }, /textual inversion/],
    ["a diffusers UNet", { "down_blocks.0.resnets.0.norm1.weight": [320] }, /a diffusers UNet alone/],
    ["a diffusers VAE", { "encoder.down_blocks.0.resnets.0.norm1.weight": [128] }, /a diffusers VAE alone/],
    ["a text encoder", { "text_model.embeddings.token_embedding.weight": [49408, 768] }, /a text encoder alone/],
    ["a VAE", { "first_stage_model.encoder.down.0.block.0.norm1.weight": [128] }, /a VAE alone/],
    ["a VAE without prefix", { "decoder.mid.block_1.norm1.weight": [512] }, /a VAE alone/],
  ])("%s", (_, shapes, label) => {
    expect(() => needFamily(tensors(shapes), "model.safetensors")).toThrow(FileError);
    expect(() => needFamily(tensors(shapes), "model.safetensors")).toThrow(label);
    expect(() => needFamily(tensors(shapes), "model.safetensors")).toThrow(/^model\.safetensors holds [\s\S]*hint: /);
  });

  test.each<[string, string[], RegExp]>([
    [
      "kohya, UNet",
      ["lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q.lora_down.weight"],
      /LoRA \(kohya/,
    ],
    ["kohya, text", ["lora_te_text_model_encoder_layers_0_self_attn_q_proj.lora_up.weight"], /LoRA \(kohya/],
    [
      "kohya, alpha only by its prefix",
      ["lora_te1_text_model_encoder_layers_0_self_attn_q_proj.alpha"],
      /LoRA \(kohya/,
    ],
    ["kohya, SDXL blocks", ["lora_unet_input_blocks_4_1_proj_in.lora_down.weight"], /LoRA \(kohya/],
    [
      "diffusers, old",
      ["unet.down_blocks.0.attentions.0.transformer_blocks.0.attn1.processor.to_out_lora.down.weight"],
      /LoRA \(diffusers/,
    ],
    [
      "diffusers, old, text",
      ["text_encoder.text_model.encoder.layers.0.self_attn.to_q_lora.up.weight"],
      /LoRA \(diffusers/,
    ],
    [
      "diffusers, new",
      ["unet.down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q.lora.down.weight"],
      /LoRA \(diffusers/,
    ],
    [
      "diffusers, new, text",
      ["text_encoder.text_model.encoder.layers.0.self_attn.q_proj.lora_linear_layer.up.weight"],
      /LoRA \(diffusers/,
    ],
    ["PEFT", ["unet.down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q.lora_A.weight"], /LoRA \(PEFT/],
    ["PEFT with an adapter's name", ["base_model.model.to_q.lora_B.default.weight"], /LoRA \(PEFT/],
    ["DoRA", ["lora_unet_x.lora_down.weight", "lora_unet_x.dora_scale"], /DoRA/],
    ["LoHa", ["lora_unet_x.hada_w1_a"], /LoHa/],
    ["LoKr", ["lora_unet_x.lokr_w1"], /LoKr/],
    ["a LoRA for FLUX", ["diffusion_model.double_blocks.0.img_attn.proj.lora_A.weight"], /LoRA \(PEFT/],
  ])("LoRA: %s", (_, names, label) => {
    const all = tensors(Object.fromEntries(names.map((name) => [name, [4, 4]])));
    expect(() => needFamily(all, "x")).toThrow(FileError);
    expect(() => needFamily(all, "x")).toThrow(label);
    expect(() => needFamily(all, "x")).toThrow(/hint: it changes a checkpoint and is none itself/);
  });

  test("what is none of these is shown by its first names", () => {
    const odd = tensors({ a: [1], b: [1], c: [1], d: [1], e: [1], f: [1] });
    expect(detectFamily(odd).label).toBe("unknown");
    expect(() => needFamily(odd, "x")).toThrow(
      /no Stable Diffusion checkpoint among its 6 tensors \('a', 'b', 'c', 'd' and 2 more\)/,
    );
    expect(() => needFamily(tensors({}), "x")).toThrow(/holds no tensors/);
  });
});
