import { FileError } from "../../errors.ts";
import type { UnetLayout } from "./expect-unet.ts";

/** Where a tensor is in a single-file checkpoint: its key there, without the component's prefix, and for attention that
 *  was stored as one matrix, which third of the rows. */
export interface LdmKey {
  readonly key: string;
  readonly third?: 0 | 1 | 2;
}

const resnetParts: Readonly<Record<string, string>> = {
  norm1: "in_layers.0",
  conv1: "in_layers.2",
  time_emb_proj: "emb_layers.1",
  norm2: "out_layers.0",
  conv2: "out_layers.3",
  conv_shortcut: "skip_connection",
};

const unetEnds: Readonly<Record<string, string>> = {
  "time_embedding.linear_1": "time_embed.0",
  "time_embedding.linear_2": "time_embed.2",
  conv_in: "input_blocks.0.0",
  conv_norm_out: "out.0",
  conv_out: "out.2",
};

/** A UNet tensor's key in a single file, from its name in diffusers.
 *
 *  LDM numbers its blocks through: with L resnets a level, `input_blocks` is conv_in, then L resnets and a downsampler for
 *  each level; `output_blocks` is L+1 resnets for each level, with the upsampler inside the last. Attention and upsampler
 *  follow their resnet in its block, so the upsampler is at 2 where there is attention and at 1 where there is none.
 *  @throws {FileError} levels of different L, which that numbering does not have */
export function ldmUnetKey(name: string, { layers, upAttention }: UnetLayout): LdmKey {
  const L = layers[0]!;
  if (layers.some((l) => l !== L)) {
    throw new FileError(
      `a single file has as many layers in every block, the config says [${layers.join(", ")}]`,
      "use the model's diffusers folder",
    );
  }
  const [layer, parameter] = splitParameter(name);
  const end = unetEnds[layer];
  if (end !== undefined) return { key: `${end}.${parameter}` };
  const mid = /^mid_block\.(resnets|attentions)\.(\d)\.(.+)$/.exec(layer);
  if (mid !== null) {
    const [, kind, index, rest] = mid;
    return kind === "attentions"
      ? { key: `middle_block.1.${rest}.${parameter}` }
      : { key: `middle_block.${index === "0" ? 0 : 2}.${renamed(resnetParts, rest!)}.${parameter}` };
  }
  const [, side, block, kind, index, rest] = /^(down|up)_blocks\.(\d+)\.(\w+)\.(\d+)\.(.+)$/.exec(layer)!;
  const first = Number(block) * (L + 1) + (side === "down" ? 1 : 0);
  const blocks = side === "down" ? "input_blocks" : "output_blocks";
  switch (kind) {
    case "resnets":
      return { key: `${blocks}.${first + Number(index)}.0.${renamed(resnetParts, rest!)}.${parameter}` };
    case "attentions":
      return { key: `${blocks}.${first + Number(index)}.1.${rest}.${parameter}` };
    case "downsamplers":
      return { key: `${blocks}.${first + L}.0.op.${parameter}` };
    default:
      return { key: `${blocks}.${first + L}.${upAttention[Number(block)] === true ? 2 : 1}.conv.${parameter}` };
  }
}

const vaeAttentionParts: Readonly<Record<string, string>> = {
  group_norm: "norm",
  to_q: "q",
  to_k: "k",
  to_v: "v",
  "to_out.0": "proj_out",
};

/** A VAE tensor's key in a single file. LDM counts the decoder's levels from the finest, diffusers from the coarsest. */
export function ldmVaeKey(name: string, levels: number): LdmKey {
  const [layer, parameter] = splitParameter(name);
  const mid = /^(encoder|decoder)\.mid_block\.(resnets|attentions)\.(\d)\.(.+)$/.exec(layer);
  if (mid !== null) {
    const [, half, kind, index, rest] = mid;
    return kind === "attentions"
      ? { key: `${half}.mid.attn_1.${renamed(vaeAttentionParts, rest!)}.${parameter}` }
      : { key: `${half}.mid.block_${Number(index) + 1}.${shortcut(rest!)}.${parameter}` };
  }
  const inBlock = /^(encoder|decoder)\.(?:down|up)_blocks\.(\d+)\.(\w+)\.(\d+)\.(.+)$/.exec(layer);
  if (inBlock !== null) {
    const [, half, block, kind, index, rest] = inBlock;
    const level = half === "encoder" ? `down.${block}` : `up.${levels - 1 - Number(block)}`;
    const part =
      kind === "resnets"
        ? `block.${index}.${shortcut(rest!)}`
        : half === "encoder"
          ? "downsample.conv"
          : "upsample.conv";
    return { key: `${half}.${level}.${part}.${parameter}` };
  }
  return { key: `${layer.replace("conv_norm_out", "norm_out")}.${parameter}` };
}

function shortcut(part: string): string {
  return part === "conv_shortcut" ? "nin_shortcut" : part;
}

const openClipEnds: Readonly<Record<string, string>> = {
  "text_model.embeddings.token_embedding.weight": "token_embedding.weight",
  "text_model.embeddings.position_embedding.weight": "positional_embedding",
  "text_model.final_layer_norm.weight": "ln_final.weight",
  "text_model.final_layer_norm.bias": "ln_final.bias",
};

const openClipParts: Readonly<Record<string, string>> = {
  layer_norm1: "ln_1",
  layer_norm2: "ln_2",
  "mlp.fc1": "mlp.c_fc",
  "mlp.fc2": "mlp.c_proj",
  "self_attn.out_proj": "attn.out_proj",
};

/** A text tensor's key in OpenCLIP's layout (SD2), where q, k and v are the thirds of one `in_proj`. */
export function openClipKey(name: string): LdmKey {
  const end = openClipEnds[name];
  if (end !== undefined) return { key: end };
  const [layer, parameter] = splitParameter(name);
  const [, index, part] = /^text_model\.encoder\.layers\.(\d+)\.(.+)$/.exec(layer)!;
  const third = ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"].indexOf(part!);
  const block = `transformer.resblocks.${index}`;
  if (third >= 0) return { key: `${block}.attn.in_proj_${parameter}`, third: third as 0 | 1 | 2 };
  return { key: `${block}.${renamed(openClipParts, part!)}.${parameter}` };
}

function splitParameter(name: string): [layer: string, parameter: string] {
  const dot = name.lastIndexOf(".");
  return [name.slice(0, dot), name.slice(dot + 1)];
}

function renamed(table: Readonly<Record<string, string>>, part: string): string {
  return table[part] ?? part;
}
