import type { Shape } from "../tensor.ts";

/** [N, C, H, W] → [N, H, W, C] */
export function toNhwc(data: Float32Array, [n = 1, c = 1, h = 1, w = 1]: Shape): Float32Array {
  const out = new Float32Array(data.length);
  const pixels = h * w;
  for (let b = 0; b < n; b++) {
    for (let k = 0; k < c; k++)
      for (let p = 0; p < pixels; p++) out[(b * pixels + p) * c + k] = data[(b * c + k) * pixels + p]!;
  }
  return out;
}

/** [N, H, W, C] → [N, C, H, W] */
export function toNchw(data: Float32Array, [n = 1, h = 1, w = 1, c = 1]: Shape): Float32Array {
  const out = new Float32Array(data.length);
  const pixels = h * w;
  for (let b = 0; b < n; b++) {
    for (let p = 0; p < pixels; p++)
      for (let k = 0; k < c; k++) out[(b * c + k) * pixels + p] = data[(b * pixels + p) * c + k]!;
  }
  return out;
}
