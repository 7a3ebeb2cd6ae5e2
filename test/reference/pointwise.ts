// Elementwise ops, copies, look-ups and the sampler's own kernels, in f64.
import type { Activation } from "../../src/kernels/kernel.ts";

/** erf by its everywhere-convergent series 2/√π·e^(−x²)·Σ 2ⁿ x^(2n+1)/(2n+1)!!, which has no cancellation; ±1 to f64 beyond 6. */
export function erf(x: number): number {
  if (Math.abs(x) > 6) return Math.sign(x);
  let term = x;
  let sum = 0;
  for (let n = 0; Math.abs(term) > 1e-18 * Math.abs(sum); n++) {
    sum += term;
    term *= (2 * x * x) / (2 * n + 3);
  }
  return (2 / Math.sqrt(Math.PI)) * Math.exp(-x * x) * sum;
}

export function gelu(x: number): number {
  return 0.5 * x * (1 + erf(x / Math.SQRT2));
}

const functions: Record<Activation, (x: number) => number> = {
  none: (x) => x,
  silu: (x) => x / (1 + Math.exp(-x)),
  gelu,
  quickGelu: (x) => x / (1 + Math.exp(-1.702 * x)),
  relu: (x) => Math.max(x, 0),
  softClip: (x) => 3 * Math.tanh(x / 3),
};

export function activation(x: Float64Array, kind: Activation): Float64Array {
  return x.map(functions[kind]);
}

/** y[r, d] = x[r, d]·gelu(x[r, D + d]) for x [rows, 2D] */
export function geglu(x: Float64Array, D: number): Float64Array {
  return Float64Array.from({ length: x.length / 2 }, (_, i) => {
    const [r, d] = [Math.floor(i / D), i % D];
    return x[r * 2 * D + d]! * gelu(x[r * 2 * D + D + d]!);
  });
}

/** y[n, h, w, c] = x[n, ⌊h/2⌋, ⌊w/2⌋, c] */
export function upsampleNearest(
  x: Float64Array,
  [N, H, W, C]: readonly [number, number, number, number],
): Float64Array {
  const y = new Float64Array(4 * x.length);
  let i = 0;
  for (let n = 0; n < N; n++)
    for (let h = 0; h < 2 * H; h++)
      for (let w = 0; w < 2 * W; w++)
        for (let c = 0; c < C; c++) y[i++] = x[((n * H + (h >> 1)) * W + (w >> 1)) * C + c]!;
  return y;
}

/** Rows of a [rows, Ca] followed by rows of b [rows, Cb] */
export function concat(a: Float64Array, Ca: number, b: Float64Array, Cb: number): Float64Array {
  return Float64Array.from({ length: a.length + b.length }, (_, i) => {
    const [r, c] = [Math.floor(i / (Ca + Cb)), i % (Ca + Cb)];
    return c < Ca ? a[r * Ca + c]! : b[r * Cb + c - Ca]!;
  });
}

/** y[r, c] = x[r, from + c], c < to − from */
export function slice(x: Float64Array, C: number, from: number, to: number): Float64Array {
  return x.filter((_, i) => i % C >= from && i % C < to);
}

/** y[t] = table[ids[t]], zeros where there is no such row */
export function embedding(ids: ArrayLike<number>, table: Float64Array, D: number): Float64Array {
  return Float64Array.from({ length: ids.length * D }, (_, i) => table[ids[Math.floor(i / D)]! * D + (i % D)] ?? 0);
}

/** Row t: sin t·f_0 … sin t·f_{h−1}, cos t·f_0 … ; cosines first if flipped. The product is an f32, as in the op's definition. */
export function timestepEmbedding(t: Float64Array, frequencies: Float64Array, flipSinToCos: boolean): Float64Array {
  const parts = flipSinToCos ? [Math.cos, Math.sin] : [Math.sin, Math.cos];
  return Float64Array.from(
    [...t].flatMap((v) => parts.flatMap((f) => [...frequencies].map((w) => f(Math.fround(v * w))))),
  );
}

/** y[i] = scale·x[i mod X] + shift */
export function expand(x: Float64Array, times: number, scale = 1, shift = 0): Float64Array {
  return Float64Array.from({ length: times * x.length }, (_, i) => scale * x[i % x.length]! + shift);
}
