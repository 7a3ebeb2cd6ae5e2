// Normalisations, softmax and attention in f64, from their equations.

/** Mean and 1/√(variance + eps) of each group of C/G channels over all pixels: x [N, P, C] → [N, G, 2]. */
export function groupNormStats(
  x: Float64Array,
  [N, P, C]: readonly [number, number, number],
  G: number,
  eps: number,
): Float64Array {
  const y = new Float64Array(N * G * 2);
  const width = C / G;
  for (let n = 0; n < N; n++) {
    for (let g = 0; g < G; g++) {
      const each = (f: (value: number) => number) => {
        let sum = 0;
        for (let p = 0; p < P; p++) for (let c = g * width; c < (g + 1) * width; c++) sum += f(x[(n * P + p) * C + c]!);
        return sum / (P * width);
      };
      const mean = each((v) => v);
      const variance = each((v) => (v - mean) ** 2);
      y[2 * (n * G + g)] = mean;
      y[2 * (n * G + g) + 1] = 1 / Math.sqrt(variance + eps);
    }
  }
  return y;
}

/** y = (x − mean_g)·rstd_g·weight_c + bias_c with g the group of channel c: x [N, P, C], stats [N, G, 2] → [N, P, C]. */
export function groupNorm(
  x: Float64Array,
  stats: Float64Array,
  weight: Float64Array,
  bias: Float64Array,
  [N, P, C]: readonly [number, number, number],
  G: number,
): Float64Array {
  const y = new Float64Array(N * P * C);
  for (let n = 0; n < N; n++)
    for (let p = 0; p < P; p++)
      for (let c = 0; c < C; c++) {
        const i = (n * P + p) * C + c;
        const s = 2 * (n * G + Math.floor(c / (C / G)));
        y[i] = (x[i]! - stats[s]!) * stats[s + 1]! * weight[c]! + bias[c]!;
      }
  return y;
}

/** Each row of x [R, D] to mean 0 and variance 1, then ·weight + bias. */
export function layerNorm(x: Float64Array, weight: Float64Array, bias: Float64Array, eps: number): Float64Array {
  const D = weight.length;
  const y = new Float64Array(x.length);
  for (let r = 0; r < x.length; r += D) {
    let mean = 0;
    for (let d = 0; d < D; d++) mean += x[r + d]! / D;
    let variance = 0;
    for (let d = 0; d < D; d++) variance += (x[r + d]! - mean) ** 2 / D;
    for (let d = 0; d < D; d++) y[r + d] = ((x[r + d]! - mean) / Math.sqrt(variance + eps)) * weight[d]! + bias[d]!;
  }
  return y;
}

/** y_d = exp(scale·x_d) / Σ_e exp(scale·x_e) over each row of x [R, D]. */
export function softmax(x: Float64Array, D: number, scale = 1): Float64Array {
  const y = new Float64Array(x.length);
  for (let r = 0; r < x.length; r += D) {
    let max = -Infinity;
    for (let d = 0; d < D; d++) max = Math.max(max, scale * x[r + d]!);
    let sum = 0;
    for (let d = 0; d < D; d++) sum += y[r + d] = Math.exp(scale * x[r + d]! - max);
    for (let d = 0; d < D; d++) y[r + d]! /= sum;
  }
  return y;
}

export interface AttentionShape {
  /** B: batch of q. Bk: batch of k and v, equal to B or 1. */
  readonly B: number;
  readonly Bk: number;
  readonly Tq: number;
  readonly Tk: number;
  readonly heads: number;
  /** Width of one head. */
  readonly D: number;
}

/** softmax(scale·q kᵀ) v for each batch and head: q [B, Tq, H·D], k and v [Bk, Tk, H·D] → [B, Tq, H·D]. Causal: query t sees the keys 0…t. */
export function attention(
  q: Float64Array,
  k: Float64Array,
  v: Float64Array,
  { B, Bk, Tq, Tk, heads, D }: AttentionShape,
  { causal = false, scale = 1 / Math.sqrt(D) }: { causal?: boolean; scale?: number } = {},
): Float64Array {
  const y = new Float64Array(B * Tq * heads * D);
  for (let b = 0; b < B; b++)
    for (let h = 0; h < heads; h++)
      for (let t = 0; t < Tq; t++) {
        const row = ((b * Tq + t) * heads + h) * D;
        const keyRow = (key: number) => (((b % Bk) * Tk + key) * heads + h) * D;
        const seen = causal ? Math.min(Tk, t + 1) : Tk;
        const logits = Float64Array.from({ length: seen }, (_, key) => {
          let dot = 0;
          for (let d = 0; d < D; d++) dot += q[row + d]! * k[keyRow(key) + d]!;
          return dot;
        });
        const p = softmax(logits, seen, scale);
        for (let key = 0; key < seen; key++) for (let d = 0; d < D; d++) y[row + d]! += p[key]! * v[keyRow(key) + d]!;
      }
  return y;
}
