import { openCheckpoint, type Checkpoint, type OpenOptions } from "../../../src/weights/checkpoint.ts";
import { dtypeBits, type FileDtype } from "../../../src/weights/dtype.ts";
import { mapFolder, type Folder } from "../../../src/weights/folder.ts";
import type { Config } from "../../../src/weights/config.ts";
import { expectedTensors } from "../../../src/weights/keys/expected.ts";
import { unetLayout } from "../../../src/weights/keys/expect-unet.ts";
import { ldmUnetKey, ldmVaeKey, openClipKey } from "../../../src/weights/keys/ldm-names.ts";
import { bytesSource, type ByteSource } from "../../../src/weights/source.ts";
import { encodeSafetensors, type TensorData } from "../../../src/weights/write.ts";

/** Configs of models as small as the layout allows, with every kind of block in them. */
export const tinyConfigs = {
  unet: {
    _class_name: "UNet2DConditionModel",
    block_out_channels: [8, 16],
    layers_per_block: 2,
    down_block_types: ["CrossAttnDownBlock2D", "DownBlock2D"],
    up_block_types: ["UpBlock2D", "CrossAttnUpBlock2D"],
    cross_attention_dim: 12,
    attention_head_dim: 2,
    norm_num_groups: 4,
  },
  vae: {
    _class_name: "AutoencoderKL",
    block_out_channels: [4, 8],
    layers_per_block: 1,
    down_block_types: ["DownEncoderBlock2D", "DownEncoderBlock2D"],
    up_block_types: ["UpDecoderBlock2D", "UpDecoderBlock2D"],
    norm_num_groups: 2,
  },
  text_encoder: {
    architectures: ["CLIPTextModel"],
    model_type: "clip_text_model",
    hidden_size: 12,
    intermediate_size: 20,
    num_hidden_layers: 3,
    num_attention_heads: 2,
    vocab_size: 50,
    hidden_act: "quick_gelu",
  },
} satisfies Record<string, Config>;

export type Part = keyof typeof tinyConfigs;
export const parts: readonly Part[] = ["unet", "vae", "text_encoder"];

export const tinyScheduler = {
  _class_name: "PNDMScheduler",
  beta_schedule: "scaled_linear",
  prediction_type: "epsilon",
};

/** Bytes that differ from tensor to tensor and from element to element. */
export function fill(name: string, bytes: number): Uint8Array {
  let state = [...name].reduce((h, c) => Math.imul(h ^ c.charCodeAt(0), 0x01000193), 0x811c9dc5);
  return Uint8Array.from({ length: bytes }, () => {
    state = Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) + 1;
    return (state >>> 11) & 255;
  });
}

export function tensorOf(name: string, shape: readonly number[], dtype: FileDtype = "F16"): TensorData {
  const bytes = (shape.reduce((n, d) => n * d, 1) * dtypeBits[dtype]) / 8;
  return { name, dtype, shape, data: fill(name, bytes) };
}

/** The tensors of a component, under diffusers' names. */
export function tensorsOf(part: Part, config: Config = tinyConfigs[part], dtype: FileDtype = "F16"): TensorData[] {
  return [...expectedTensors(part, config, "test")].map(([name, shape]) => tensorOf(name, shape, dtype));
}

export const json = (value: unknown): ByteSource =>
  bytesSource("json", new TextEncoder().encode(JSON.stringify(value)));
export const safetensors = (tensors: Iterable<TensorData>, metadata?: Record<string, string>): ByteSource =>
  bytesSource("weights", encodeSafetensors(tensors, metadata));

export const weightsStem = { unet: "diffusion_pytorch_model", vae: "diffusion_pytorch_model", text_encoder: "model" };

/** The files of a whole tiny diffusers checkpoint, to be changed and made a folder of. */
export function diffusersFiles(): Map<string, ByteSource> {
  const files = new Map<string, ByteSource>();
  files.set(
    "model_index.json",
    json({
      _class_name: "StableDiffusionPipeline",
      unet: ["diffusers", "UNet2DConditionModel"],
      vae: ["diffusers", "AutoencoderKL"],
      text_encoder: ["transformers", "CLIPTextModel"],
      safety_checker: [null, null],
    }),
  );
  for (const part of parts) {
    files.set(`${part}/config.json`, json(tinyConfigs[part]));
    files.set(`${part}/${weightsStem[part]}.safetensors`, safetensors(tensorsOf(part), { format: "pt" }));
  }
  files.set("scheduler/scheduler_config.json", json(tinyScheduler));
  files.set("tokenizer/vocab.json", json({ "a</w>": 0, "!": 1 }));
  files.set("tokenizer/merges.txt", bytesSource("merges", new TextEncoder().encode("#version: 0.2\na b\n")));
  files.set("tokenizer/special_tokens_map.json", json({ pad_token: "!" }));
  return files;
}

export const folderOf = (files: ReadonlyMap<string, ByteSource>, name = "tiny"): Folder => mapFolder(name, files);

export type Change = (files: Map<string, ByteSource>) => void;

/** Opens the tiny diffusers checkpoint after a change to its files. */
export function openTiny(change: Change = () => undefined, options: OpenOptions = {}): Promise<Checkpoint> {
  const files = diffusersFiles();
  change(files);
  return openCheckpoint(folderOf(files), options);
}

/** The configs of the tiny models alone, as they are given beside a single file. */
export function configFolder(): Folder {
  const files = parts.map((part): [string, ByteSource] => [`${part}/config.json`, json(tinyConfigs[part])]);
  return mapFolder("configs", new Map([...files, ["scheduler/scheduler_config.json", json(tinyScheduler)]]));
}

export type TextLayout = "text_model" | "no text_model" | "openclip";

/** The tensors of a single-file checkpoint with the same content as the given components. */
export function ldmTensors(
  components: Partial<Record<Part, readonly TensorData[]>> = {
    unet: tensorsOf("unet"),
    vae: tensorsOf("vae"),
    text_encoder: tensorsOf("text_encoder"),
  },
  { text = "text_model", configs = tinyConfigs }: { text?: TextLayout; configs?: Record<Part, Config> } = {},
): TensorData[] {
  const layout = unetLayout(configs.unet, "test");
  const levels = (configs.vae.block_out_channels as number[]).length;
  const unet = (components.unet ?? []).map((t) => ({
    ...t,
    name: `model.diffusion_model.${ldmUnetKey(t.name, layout).key}`,
  }));
  const vae = (components.vae ?? []).map((t) => {
    const name = `first_stage_model.${ldmVaeKey(t.name, levels).key}`;
    // LDM's VAE attention is made of 1×1 convolutions.
    return /mid\.attn_1\.(q|k|v|proj_out)\.weight$/.test(name)
      ? { ...t, name, shape: [...t.shape, 1, 1] }
      : { ...t, name };
  });
  return [...unet, ...vae, ...ldmText(components.text_encoder ?? [], text)];
}

function ldmText(tensors: readonly TensorData[], layout: TextLayout): TensorData[] {
  if (layout !== "openclip") {
    const cut = layout === "text_model" ? "" : "text_model.";
    return tensors.map((t) => ({ ...t, name: `cond_stage_model.transformer.${t.name.slice(cut.length)}` }));
  }
  const joined = new Map<string, TensorData[]>();
  for (const tensor of tensors) {
    const { key, third = 0 } = openClipKey(tensor.name);
    const thirds = joined.get(key) ?? [];
    thirds[third] = tensor;
    joined.set(key, thirds);
  }
  return [...joined].map(([key, thirds]) => {
    const [rows = 0, ...rest] = thirds[0]!.shape;
    return {
      name: `cond_stage_model.model.${key}`,
      dtype: thirds[0]!.dtype,
      shape: [rows * thirds.length, ...rest],
      data: Uint8Array.from(Buffer.concat(thirds.map(({ data }) => data))),
    };
  });
}
