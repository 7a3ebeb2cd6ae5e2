import type { ComponentName } from "../component.ts";

const oldAttention: Readonly<Record<string, string>> = {
  query: "to_q",
  key: "to_k",
  value: "to_v",
  proj_attn: "to_out.0",
};

/** The present name of a tensor in a diffusers folder: VAE attention was once `query`, `key`, `value`, `proj_attn`; text
 *  encoders had `text_model.` before their names up to transformers 4 and lack it since. */
export function modernName(component: ComponentName, key: string): string {
  if (component === "vae") {
    return key.replace(
      /(\.mid_block\.attentions\.0\.)(query|key|value|proj_attn)\./,
      (_, before: string, old: string) => {
        return `${before}${oldAttention[old]}.`;
      },
    );
  }
  if (component === "text_encoder" && /^(embeddings|encoder|final_layer_norm)\./.test(key)) return `text_model.${key}`;
  return key;
}

/** Tensors that folders have and no model here needs: CLIP's position numbers, and the halves of a whole CLIP. */
export function isIgnored(component: ComponentName, name: string): boolean {
  if (component !== "text_encoder") return false;
  return /position_ids$|^(logit_scale|text_projection\.weight|visual_projection\.weight|vision_model\..*)$/.test(name);
}
