import { attention as attentionKernel } from "../kernels/attention.ts";
import { geglu } from "../kernels/geglu.ts";
import { apply, mark, reshape, type Value } from "../graph/graph.ts";
import { groupNorm, layerNorm, linear, sum, type ModelBuilder } from "./builder.ts";

/** Multi-head attention of x [B, T, D] over `context` [B, Tk, Dk] (x itself for self-attention), with the output projection: softmax(QKᵀ/√d)V·W_o. */
export function attention(m: ModelBuilder, x: Value, context: Value, name: string, heads: number, options: { qkvBias?: boolean } = {}): Value {
  const projection = { bias: options.qkvBias ?? false };
  const q = linear(m, x, `${name}.to_q`, projection);
  const k = linear(m, context, `${name}.to_k`, projection);
  const v = linear(m, context, `${name}.to_v`, projection);
  const y = apply(m.g, attentionKernel, { q, k, v }, { heads }, name);
  return linear(m, y, `${name}.to_out.0`);
}

/** A transformer over the pixels of a feature map: self-attention, cross-attention to the prompt, GEGLU feed-forward, all residual.
 *  @param x [N, H, W, C] @param context [N, 77, Dc]
 *  @see Rombach et al. 2022, arXiv:2112.10752, appendix E.2.1 */
export function spatialTransformer(m: ModelBuilder, x: Value, context: Value, name: string, options: { heads: number; layers: number; groups: number }): Value {
  const [n = 1, h = 1, w = 1, c = 1] = x.shape;
  const inner = linear(m, groupNorm(m, x, `${name}.norm`, { groups: options.groups, eps: 1e-6 }), `${name}.proj_in`);
  let y = reshape(inner, [n, h * w, c], name);
  for (let i = 0; i < options.layers; i++) y = transformerBlock(m, y, context, `${name}.transformer_blocks.${i}`, options.heads);
  const out = linear(m, reshape(y, x.shape, name), `${name}.proj_out`);
  return mark(m.g, name, sum(m, out, x, name));
}

function transformerBlock(m: ModelBuilder, x: Value, context: Value, name: string, heads: number): Value {
  const self = layerNorm(m, x, `${name}.norm1`, 1e-5);
  let y = sum(m, attention(m, self, self, `${name}.attn1`, heads), x, `${name}.attn1`);
  y = sum(m, attention(m, layerNorm(m, y, `${name}.norm2`, 1e-5), context, `${name}.attn2`, heads), y, `${name}.attn2`);
  const gated = apply(m.g, geglu, { x: linear(m, layerNorm(m, y, `${name}.norm3`, 1e-5), `${name}.ff.net.0.proj`) }, {}, `${name}.ff`);
  return sum(m, linear(m, gated, `${name}.ff.net.2`), y, `${name}.ff`);
}
