import { upsampleNearest } from "../kernels/upsample-nearest.ts";
import { apply, mark, type Value } from "../graph/graph.ts";
import { activation, conv2d, groupNorm, linear, sum, type ModelBuilder } from "./builder.ts";

export interface NormOptions {
  readonly groups: number;
  readonly eps: number;
}

/** Two 3×3 convolutions with a skip: shortcut(x) + conv2(silu(norm2(conv1(silu(norm1(x))) + temb))).
 *  @param x [N, H, W, C] @param temb this block's time embedding, one value per output channel; absent in the VAE */
export function resnetBlock(m: ModelBuilder, x: Value, name: string, norm: NormOptions, temb?: (name: string) => Value): Value {
  let y = conv2d(m, activation(m, groupNorm(m, x, `${name}.norm1`, norm), "silu", `${name}.norm1`), `${name}.conv1`);
  if (temb) y = sum(m, y, temb(`${name}.time_emb_proj`), `${name}.time_emb_proj`);
  y = conv2d(m, activation(m, groupNorm(m, y, `${name}.norm2`, norm), "silu", `${name}.norm2`), `${name}.conv2`);
  const skip = m.tensors.has(`${name}.conv_shortcut.weight`) ? linear(m, x, `${name}.conv_shortcut`) : x;
  return mark(m.g, name, sum(m, y, skip, name));
}

/** Nearest 2× upsampling, then a 3×3 convolution. */
export function upsample(m: ModelBuilder, x: Value, name: string): Value {
  return mark(m.g, name, conv2d(m, apply(m.g, upsampleNearest, { x }, {}, name), `${name}.conv`));
}
