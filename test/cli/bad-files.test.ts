import { readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "vitest";
import { goldenPath } from "../support/golden.ts";
import { fileOf } from "../unit/weights/safetensors-files.ts";
import { at, copyOf, editHeader, editJson, expectRefusal, strong, weak, writeTensor } from "./command.ts";

// Files that are not what they should be: each is refused by name, with both numbers, before a weight is read.

const generate = (...options: string[]) => [
  "generate",
  "--prompt",
  "a cat",
  "--out",
  at("x.png"),
  "--json",
  ...options,
];
const unetFile = join("unet", "diffusion_pytorch_model.safetensors");

describe("a folder with spoiled weights", () => {
  it.each<[string, (unet: string) => void, (string | RegExp)[]]>([
    ["truncated", (f) => truncateSync(f, readFileSync(f).length - 100), [/it ends at \d+, the file has \d+ bytes/]],
    [
      "oversized",
      (f) => writeFileSync(f, Buffer.alloc(12), { flag: "a" }),
      [/tensors take 722136 bytes, the file has 722148/],
    ],
    [
      "overlapping",
      (f) => editHeader(f, ([, second]) => void (second![1].data_offsets[0] -= 4)),
      [/begins at \d+, inside the tensor before it, which ends at \d+/],
    ],
    [
      "mistyped",
      (f) => editHeader(f, ([first]) => void (first![1].dtype = "I16")),
      [/1 tensor of another shape or dtype \('\S+: dtype I16, read are F16, BF16, F32'\)/],
    ],
    [
      "of another shape",
      (f) => editHeader(f, (all) => void all.find(([, e]) => e.shape.length === 4)![1].shape.reverse()),
      [/1 tensor of another shape/, /the config wants \[/],
    ],
    ["with an absurd header", (f) => writeFileSync(f, fileOf("{}", 0, 2n ** 40n)), [/header of 1099511627776 bytes/]],
    ["empty", (f) => writeFileSync(f, ""), [/0 bytes are too few/]],
  ])("%s", async (what, spoil, said) => {
    const model = copyOf(strong, what.replaceAll(" ", "-"));
    spoil(join(model, unetFile));
    await expectRefusal(generate("--model", model), 5, "FileError: ", model, "hint: ", ...said);
  });

  it("only as a pickle", async () => {
    const model = copyOf(strong, "pickled");
    rmSync(join(model, unetFile));
    writeFileSync(join(model, "unet", "diffusion_pytorch_model.bin"), "PK\x03\x04");
    const said = ["unet/diffusion_pytorch_model.bin is a Python pickle", "run any code", "use the .safetensors"];
    await expectRefusal(generate("--model", model), 5, ...said);
  });
});

describe("a file that is no checkpoint", () => {
  it.each<[string, Uint8Array, (string | RegExp)[]]>([
    [
      "a pickle",
      Buffer.from("\x80\x02}q\x00(X\x05\x00\x00\x00modelq\x01", "latin1"),
      ["is a Python pickle", "run any"],
    ],
    ["a web page", Buffer.from("<!DOCTYPE html><html><head><title>x</title>"), ["is a web page", "download address"]],
    ["empty", Buffer.alloc(0), ["0 bytes are too few"]],
  ])("%s", async (name, bytes, said) => {
    const file = at(`${name.replaceAll(" ", "-")}.safetensors`);
    writeFileSync(file, bytes);
    await expectRefusal(generate("--model", file), 5, "FileError: ", file, ...said);
  });

  it.each([
    ["lora_unet_down_blocks_0_attentions_0_proj_in.lora_down.weight", "holds a LoRA (kohya keys), not a checkpoint"],
    ["unet.down_blocks.0.attentions.0.proj_in.lora_A.weight", "holds a LoRA (PEFT keys), not a checkpoint"],
    ["conditioner.embedders.1.model.transformer.resblocks.9.mlp.c_proj.bias", "holds SDXL base, not a checkpoint"],
    ["double_blocks.0.img_attn.proj.weight", "holds FLUX, not a checkpoint"],
    ["something.weight", /no Stable Diffusion checkpoint among its 1 tensors \('something.weight'\)/],
  ])("%s", async (key, said) => {
    const file = at(`${key.length}.safetensors`);
    writeTensor(file, key, "F16", [2, 2], new Uint8Array(8));
    await expectRefusal(generate("--model", file), 5, file, said, "give a Stable Diffusion 1.x or 2.x checkpoint");
    // As the weak side too, where the strong one is in order.
    await expectRefusal(generate("--model", strong, "--weak", file, "--size", "64x64"), 5, file, said);
  });

  it("one component's weights without their config", async () => {
    const file = join(strong, unetFile);
    await expectRefusal(generate("--model", file), 5, "holds a diffusers UNet alone", "with its config.json");
  });

  it("an SDXL folder", async () => {
    const model = copyOf(strong, "sdxl");
    editJson(join(model, "unet", "config.json"), (json) => (json.addition_embed_type = "text_time"));
    await expectRefusal(generate("--model", model), 5, "is of SDXL", "give a Stable Diffusion 1.x or 2.x checkpoint");
  });
});

describe("a folder that lacks something, or has it wrong", () => {
  it.each<[string, (model: string) => void, (string | RegExp)[]]>([
    ["no unet config", (m) => rmSync(join(m, "unet/config.json")), ["lists unet, but unet/config.json is missing"]],
    ["no scheduler", (m) => rmSync(join(m, "scheduler"), { recursive: true }), ["has no scheduler/scheduler_config"]],
    [
      "no vae",
      (m) => {
        rmSync(join(m, "vae"), { recursive: true });
        editJson(join(m, "model_index.json"), (json) => delete json.vae);
      },
      ["has no vae", "give this part from another"],
    ],
    ["config cut", (m) => truncateSync(join(m, "unet/config.json"), 40), ["unet/config.json is not JSON"]],
    [
      "config mistyped",
      (m) => editJson(join(m, "unet/config.json"), (json) => (json.block_out_channels = "8,16")),
      [/'block_out_channels' is "8,16"/],
    ],
    [
      "another family's scheduler",
      (m) => editJson(join(m, "scheduler/scheduler_config.json"), (j) => (j._class_name = "FlowMatchEulerDiscrete")),
      ["is not a schedule of betas"],
    ],
    ["vocab cut", (m) => truncateSync(join(m, "tokenizer/vocab.json"), 40), ["tokenizer/vocab.json is not JSON"]],
    [
      "vae of other channels",
      (m) => editJson(join(m, "vae/config.json"), (json) => (json.latent_channels = 16)),
      [/vae does not fit .*vae\/config.json/, "the config describes another model than the file holds"],
    ],
  ])("%s", async (what, spoil, said) => {
    const model = copyOf(strong, what.replaceAll(/[ ']/g, "-"));
    spoil(model);
    await expectRefusal(generate("--model", model), 5, "FileError: ", ...said);
  });

  it.each([
    ["merges that are none", "merges.txt", "#version: 0.2\njust-one\n"],
    ["a vocabulary of another model", "vocab.json", '{"a":0,"b":1}'],
  ])("%s", async (what, file, text) => {
    const model = copyOf(strong, what.replaceAll(" ", "-"));
    writeFileSync(join(model, "tokenizer", file), text);
    await expectRefusal(generate("--model", model), 5, `FileError: ${model}: `, /merge|vocab/);
    // The other side's words are read before any weight of this one is.
    await expectRefusal(generate("--model", strong, "--weak", model, "--size", "64x64"), 5, `FileError: ${model}: `);
  });

  it("another model's tokenizer", async () => {
    const model = copyOf(strong, "other-tokenizer");
    rmSync(join(model, "tokenizer"), { recursive: true });
    // Without one, CLIP's own 49408 tokens are meant, and this tiny text encoder knows fewer.
    await expectRefusal(generate("--model", model), 5, model, /has a token 49407, its text encoder knows \d+/);
  });

  it.each([
    ["a path that is not there", at("nowhere"), "no such file"],
    ["an empty folder", goldenPath("data/runs"), "is no model folder"],
  ])("%s", async (_, model, said) => {
    await expectRefusal(generate("--model", model), 5, model, said, "hint: ");
    await expectRefusal(["inspect", model, "--json"], 5, model, said);
  });
});

describe("a pair that does not fit", () => {
  it.each<[string, string, (string | RegExp)[]]>([
    ["another VAE", goldenPath("models/sd2"), [/VAE's factor \(pixels per latent\) is 8 in .*strong and 4 in .*sd2/]],
    ["another schedule", "scheduler", [/betaEnd is 0.012 in .*strong and 0.02 in /]],
    ["another scale of the latents", "scaling", [/VAE's scaling factor is 0.18215 in .*strong and 0.13025 in /]],
  ])("%s", async (_, which, said) => {
    let model = which;
    if (which === "scheduler") {
      model = copyOf(weak, "other-scheduler");
      editJson(join(model, "scheduler/scheduler_config.json"), (json) => (json.beta_end = 0.02));
    } else if (which === "scaling") {
      model = copyOf(weak, "other-scaling");
      editJson(join(model, "vae/config.json"), (json) => (json.scaling_factor = 0.13025));
    }
    await expectRefusal(
      generate("--model", strong, "--weak", model, "--size", "64x64"),
      2,
      "UsageError: the pair does not fit: ",
      "must share the latent space and the noise schedule",
      ...said,
    );
  });
});
