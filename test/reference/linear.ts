// Matrix product, convolution and weight repacking.

import type { Activation } from "../../src/kernels/kernel.ts";

/** Pointwise nonlinearities by name; erf by its series or continued fraction. */
function act(kind: Activation, v: number): number {
  switch (kind) {
    case "none":
      return v;
    case "silu":
      return v / (1 + Math.exp(-v));
    case "gelu":
      return 0.5 * v * (1 + erf(v / Math.SQRT2));
    case "quickGelu":
      return v / (1 + Math.exp(-1.702 * v));
    case "relu":
      return Math.max(v, 0);
    case "softClip":
      return 3 * Math.tanh(v / 3);
  }
}

/** erf x = 2/√π · e^(−x²) · Σ 2ⁿ x^(2n+1) / (2n+1)!! */
function erf(x: number): number {
  if (Math.abs(x) > 6) return Math.sign(x);
  let term = x;
  let sum = x;
  for (let n = 1; Math.abs(term) > 1e-18 * Math.abs(sum); n++) {
    term *= (2 * x * x) / (2 * n + 1);
    sum += term;
  }
  return (2 / Math.sqrt(Math.PI)) * Math.exp(-x * x) * sum;
}

interface Epilogue {
  readonly bias?: Float64Array | undefined;
  readonly residual?: Float64Array | undefined;
  readonly activation?: Activation | undefined;
}

/** y[b, m, n] = act(Σₖ x[b, m, k]·W[b, k, n] + bias[n]) + residual[b, m, n]; W[b, n, k] with `transposeB`; one W for all b when `sharedWeight`. */
export function matmul(
  x: Float64Array,
  weight: Float64Array,
  { B = 1, M, K, N }: { B?: number; M: number; K: number; N: number },
  {
    bias,
    residual,
    activation = "none",
    transposeB = false,
    sharedWeight = false,
  }: Epilogue & { transposeB?: boolean | undefined; sharedWeight?: boolean | undefined } = {},
): Float64Array {
  const y = new Float64Array(B * M * N);
  for (let b = 0; b < B; b++) {
    const w0 = sharedWeight ? 0 : b * K * N;
    for (let m = 0; m < M; m++) {
      for (let n = 0; n < N; n++) {
        let s = 0;
        for (let k = 0; k < K; k++) {
          s += x[(b * M + m) * K + k]! * weight[w0 + (transposeB ? n * K + k : k * N + n)]!;
        }
        const i = (b * M + m) * N + n;
        y[i] = act(activation, s + (bias?.[n] ?? 0)) + (residual?.[i] ?? 0);
      }
    }
  }
  return y;
}

/** y[n, i, j, o] = act(Σ_{p,q,c} x[n, s·i + p − top, s·j + q − left, c]·W[p, q, c, o] + bias[o] + addend[n, o]) + residual[n, i, j, o], x zero outside. */
export function conv2d(
  x: Float64Array,
  weight: Float64Array,
  { N, H, W, C, KH, KW, O }: { N: number; H: number; W: number; C: number; KH: number; KW: number; O: number },
  {
    bias,
    addend,
    residual,
    activation = "none",
    stride = 1,
    padding: [top, left, bottom, right] = [0, 0, 0, 0],
  }: Epilogue & {
    /** [N, O] or [1, O] */
    addend?: Float64Array | undefined;
    stride?: number | undefined;
    padding?: readonly [number, number, number, number] | undefined;
  } = {},
): Float64Array {
  const OH = Math.floor((H + top + bottom - KH) / stride) + 1;
  const OW = Math.floor((W + left + right - KW) / stride) + 1;
  const y = new Float64Array(N * OH * OW * O);
  for (let n = 0; n < N; n++) {
    for (let i = 0; i < OH; i++) {
      for (let j = 0; j < OW; j++) {
        const pixel = (n * OH + i) * OW + j;
        const sums = new Float64Array(O);
        for (let p = 0; p < KH; p++) {
          for (let q = 0; q < KW; q++) {
            const [h, w] = [stride * i + p - top, stride * j + q - left];
            if (h < 0 || h >= H || w < 0 || w >= W) continue;
            for (let c = 0; c < C; c++) {
              const v = x[((n * H + h) * W + w) * C + c]!;
              for (let o = 0; o < O; o++) sums[o]! += v * weight[((p * KW + q) * C + c) * O + o]!;
            }
          }
        }
        for (let o = 0; o < O; o++) {
          const added = addend?.[addend.length === O ? o : n * O + o] ?? 0;
          const k = pixel * O + o;
          y[k] = act(activation, sums[o]! + (bias?.[o] ?? 0) + added) + (residual?.[k] ?? 0);
        }
      }
    }
  }
  return y;
}
