// Elementwise ops, copies, look-ups and the sampler's own kernels, in f64.
import type { Activation } from "../../src/kernels/kernel.ts";
import type { SamplerRow } from "../../src/kernels/sampler-state.ts";

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

/** x ← or y ← base + strength·(F − base), F = cx·source + ce·ε, ε = ex·query + em·o, o = o_u + guidance·(o_c − o_u) */
export function ddimStep(
  latents: { x: Float64Array; y: Float64Array },
  output: Float64Array,
  row: SamplerRow,
): { x: Float64Array; y: Float64Array } {
  const { x } = latents;
  const result = x.map((base, i) => {
    const first = output[i]!;
    const o = output.length === x.length ? first : first + row.guidanceScale * (output[x.length + i]! - first);
    const eps = row.ex * latents[row.query][i]! + row.em * o;
    const stepped = row.cx * latents[row.source][i]! + row.ce * eps;
    return row.strength === 1 ? stepped : base + row.strength * (stepped - base);
  });
  return { ...latents, [row.target]: result };
}

/** ε = −√(1−ā)·d/dq log Σ w_k·N(q; √ā·μ_k, ā·sd² + 1 − ā), by log-sum-exp */
export function gmmEps(
  q: Float64Array,
  alphaBar: number,
  modes: readonly (readonly [weight: number, mean: number])[],
  sd: number,
): Float64Array {
  const v = alphaBar * sd * sd + 1 - alphaBar;
  const live = modes.filter(([w]) => w > 0);
  return q.map((value) => {
    const d = live.map(([, mean]) => value - Math.sqrt(alphaBar) * mean);
    const log = live.map(([w], k) => Math.log(w) - d[k]! ** 2 / (2 * v));
    const top = Math.max(...log);
    const share = log.map((l) => Math.exp(l - top));
    const total = share.reduce((a, b) => a + b);
    return (Math.sqrt(1 - alphaBar) * share.reduce((sum, r, k) => sum + (r / total) * d[k]!, 0)) / v;
  });
}

/** R + 256·G + 65536·B + 2^24·255 with bytes ⌊255·clamp(scale·x + shift)⌉, halves to even; 0 where a channel is NaN */
export function rgba(x: Float64Array, scale = 0.5, shift = 0.5): Float64Array {
  const byte = (v: number) => {
    const b = 255 * Math.min(Math.max(scale * v + shift, 0), 1);
    return b % 1 === 0.5 ? 2 * Math.round(b / 2) : Math.round(b);
  };
  return Float64Array.from({ length: x.length / 3 }, (_, i) => {
    const [r = 0, g = 0, b = 0] = x.subarray(3 * i, 3 * i + 3);
    return [r, g, b].some(Number.isNaN) ? 0 : byte(r) + 256 * byte(g) + 65536 * byte(b) + 2 ** 24 * 255;
  });
}

/** Box-Muller on words 0 and 1 of Philox4x32-10 at counter (offset, 0, i, 0), in 64-bit integers */
export function noise(seedLow: number, seedHigh: number, offset: number, count: number): Float64Array {
  const mask = 0xffffffffn;
  return Float64Array.from({ length: count }, (_, i) => {
    let [c0, c1, c2, c3] = [BigInt(offset), 0n, BigInt(i), 0n];
    let [k0, k1] = [BigInt(seedLow), BigInt(seedHigh)];
    for (let round = 0; round < 10; round++) {
      const [p0, p1] = [0xd2511f53n * c0, 0xcd9e8d57n * c2];
      [c0, c1, c2, c3] = [(p1 >> 32n) ^ c1 ^ k0, p1 & mask, (p0 >> 32n) ^ c3 ^ k1, p0 & mask];
      [k0, k1] = [(k0 + 0x9e3779b9n) & mask, (k1 + 0xbb67ae85n) & mask];
    }
    const [u, v] = [(Number(c0) + 0.5) / 2 ** 32, (Number(c1) + 0.5) / 2 ** 32];
    return Math.sqrt(-2 * Math.log(u)) * Math.sin(2 * Math.PI * v);
  });
}
