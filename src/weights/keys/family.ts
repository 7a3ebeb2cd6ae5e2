import { FileError } from "../../errors.ts";
import type { Shape } from "../../tensor.ts";
import { firstFew } from "../show.ts";

/** What kind of model a single file holds. */
export interface Family {
  /** As the field calls it. */
  readonly label: string;
  /** The families that are run. */
  readonly checkpoint?: "sd1" | "sd2";
  readonly hint?: string;
}

type Tensors = ReadonlyMap<string, { readonly shape: Shape }>;

const unet = "model.diffusion_model.";
const convIn = `${unet}input_blocks.0.0.weight`;
const sd2Context = `${unet}input_blocks.2.1.transformer_blocks.0.attn2.to_k.weight`;
const sdxlContext = `${unet}input_blocks.4.1.transformer_blocks.0.attn2.to_k.weight`;

const wantsCheckpoint = "give a Stable Diffusion 1.x or 2.x checkpoint";

/** What is added to a checkpoint: above all the ways of writing a LoRA. An earlier kind's files may have a later one's keys. */
const addOns: readonly [pattern: RegExp, label: string][] = [
  [/^(image_proj|ip_adapter)\./, "an IP-Adapter"],
  [/\.dora_scale$|lora_magnitude_vector/, "a DoRA"],
  [/\.hada_w[12]_/, "a LyCORIS LoHa"],
  [/\.lokr_w[12]/, "a LyCORIS LoKr"],
  [/\.oft_(blocks|diag)|\.oft_R\./, "an OFT adapter"],
  [/^lora_(unet|te\d?|prior)_|\.lora_(down|up)\.weight$/, "a LoRA (kohya keys)"],
  [/\.lora_[AB](\.\w+)?\.weight$|\.lora_embedding_[AB]/, "a LoRA (PEFT keys)"],
  [/\.lora(_linear_layer)?\.(down|up)\.weight$|_lora\.(down|up)\.weight$/, "a LoRA (diffusers keys)"],
];

/** Keys that only one other family has. */
const others: readonly [pattern: RegExp, label: string][] = [
  [/^edm_mean$/, "Playground 2.5"],
  [/^conditioner\.embedders\.1\.model\.transformer\.resblocks\.9\.mlp\.c_proj\.bias$/, "SDXL base"],
  [/^conditioner\.embedders\.1\./, "SDXL"],
  [/^conditioner\.embedders\.0\.model\./, "SDXL refiner"],
  [/^(control_model\.|controlnet_cond_embedding\.|input_hint_block\.)|lllite_unet/, "a ControlNet"],
  [/motion_modules\.\d+\./, "an AnimateDiff motion module"],
  [/(^|\.)joint_blocks\.\d/, "Stable Diffusion 3"],
  [/(^|\.)double_layers\.\d/, "AuraFlow"],
  [/(^|\.)double_stream_blocks\.\d/, "HiDream"],
  [/individual_token_refiner/, "Hunyuan Video"],
  [/distilled_guidance_layer/, "Chroma"],
  [/(^|\.)(double_blocks|single_blocks|single_stream_modulation)\.?/, "FLUX"],
  [/(^|\.)(patchify_proj|scale_shift_table)(\.|$)/, "LTX Video or PixArt"],
  [/(^|\.)clip_txt_mapper\.|\.channelwise\.0\./, "Stable Cascade"],
  [/(^|\.)head\.modulation$|vace_blocks/, "Wan"],
  [/(^|\.)cap_embedder\./, "Lumina or Z-Image"],
  [/\.attn\.qkv_x\./, "Mochi"],
  [/\.cross_attn\.kv_linear\./, "Sana"],
  [/^net\.(x_embedder|blocks)\./, "Cosmos"],
  [/^(emb_params|clip_[lg]|string_to_param\..*)$/, "a textual inversion embedding"],
];

const bare: readonly [key: string, label: string][] = [
  ["down_blocks.0.resnets.0.norm1.weight", "a diffusers UNet"],
  ["encoder.down_blocks.0.resnets.0.norm1.weight", "a diffusers VAE"],
  ["text_model.embeddings.token_embedding.weight", "a text encoder"],
  ["embeddings.token_embedding.weight", "a text encoder"],
];

/** The family by its marker keys, for any safetensors file. */
export function detectFamily(tensors: Tensors): Family {
  const names = [...tensors.keys()];
  const matching = (rules: readonly [RegExp, string][]): string | undefined =>
    rules.find(([pattern]) => names.some((name) => pattern.test(name)))?.[1];

  const first = tensors.get(convIn)?.shape;
  // A checkpoint may carry stray LoRA keys; without its first convolution a file with such keys is a LoRA.
  const addOn = first === undefined ? matching(addOns) : undefined;
  if (addOn !== undefined) {
    return { label: addOn, hint: `it changes a checkpoint and is none itself: ${wantsCheckpoint}` };
  }
  const other = matching(others);
  if (other !== undefined) return { label: other, hint: wantsCheckpoint };
  if (first !== undefined) return latentDiffusion(tensors, first[1]);
  const part = bare.find(([key]) => tensors.has(key))?.[1];
  if (part !== undefined) {
    return { label: `${part} alone`, hint: "give the model's folder, with its config.json, in place of this one file" };
  }
  if (names.some((name) => /^(first_stage_model\.)?(encoder|decoder)\.(mid|down|up)[._]/.test(name))) {
    return { label: "a VAE alone", hint: wantsCheckpoint };
  }
  return { label: "unknown", hint: wantsCheckpoint };
}

/** The LDM family, told apart by the channels of the first convolution and the width of the text. */
function latentDiffusion(tensors: Tensors, inChannels: number | undefined): Family {
  const sd2 = tensors.get(sd2Context)?.shape.at(-1) === 1024;
  const generation = sd2 ? "Stable Diffusion 2.x" : "Stable Diffusion 1.x";
  const hint = "only text-to-image checkpoints of 4 input channels are run";
  if (inChannels === 9) return { label: `${generation} inpainting`, hint };
  if (inChannels === 8) return { label: "InstructPix2Pix", hint };
  if (inChannels === 7) return { label: "Stable Diffusion upscaler", hint };
  if (inChannels === 5) return { label: `${generation} depth`, hint };
  if (tensors.has(`${unet}label_emb.0.0.weight`)) {
    const context = tensors.get(sdxlContext)?.shape.at(-1);
    if (context === 2048) return { label: "SDXL base, its UNet alone", hint };
    if (context === 1280) return { label: "SDXL refiner, its UNet alone", hint };
    return { label: `${generation} with image or class embeddings`, hint };
  }
  return { label: generation, checkpoint: sd2 ? "sd2" : "sd1" };
}

/** The family, if it is one that is run.
 *  @throws {FileError} naming what the file holds instead */
export function needFamily(tensors: Tensors, file: string): "sd1" | "sd2" {
  const { label, checkpoint, hint } = detectFamily(tensors);
  if (checkpoint !== undefined) return checkpoint;
  if (label !== "unknown") throw new FileError(`${file} holds ${label}, not a checkpoint that is run here`, hint);
  if (tensors.size === 0) throw new FileError(`${file} holds no tensors`, hint);
  throw new FileError(
    `${file}: no Stable Diffusion checkpoint among its ${tensors.size} tensors (${firstFew([...tensors.keys()])})`,
    hint,
  );
}
