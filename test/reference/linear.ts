// Matrix product and convolution, with the epilogue that both kernels share.
import type { Activation } from "../../src/kernels/kernel.ts";
import { activation as activate } from "./pointwise.ts";

interface Epilogue {
  readonly bias?: Float64Array | undefined;
  readonly residual?: Float64Array | undefined;
  readonly activation?: Activation | undefined;
}

/** y = act(sums) + residual */
function finish(sums: Float64Array, { activation = "none", residual }: Epilogue): Float64Array {
  return activate(sums, activation).map((v, i) => v + (residual?.[i] ?? 0));
}

/** y[b, m, n] = act(Σₖ x[b, m, k]·W[b, k, n] + bias[n]) + residual[b, m, n]; W[b, n, k] with `transposeB`; one W for all b when `sharedWeight`. */
export function matmul(
  x: Float64Array,
  weight: Float64Array,
  { B = 1, M, K, N }: { B?: number; M: number; K: number; N: number },
  {
    transposeB = false,
    sharedWeight = false,
    ...epilogue
  }: Epilogue & { transposeB?: boolean | undefined; sharedWeight?: boolean | undefined } = {},
): Float64Array {
  const sums = new Float64Array(B * M * N);
  for (let b = 0; b < B; b++) {
    const w0 = sharedWeight ? 0 : b * K * N;
    for (let m = 0; m < M; m++) {
      for (let n = 0; n < N; n++) {
        let s = epilogue.bias?.[n] ?? 0;
        for (let k = 0; k < K; k++) {
          s += x[(b * M + m) * K + k]! * weight[w0 + (transposeB ? n * K + k : k * N + n)]!;
        }
        sums[(b * M + m) * N + n] = s;
      }
    }
  }
  return finish(sums, epilogue);
}

/** y[n, i, j, o] = act(Σ_{p,q,c} x[n, s·i + p − top, s·j + q − left, c]·W[p, q, c, o] + bias[o] + addend[n, o]) + residual[n, i, j, o], x zero outside. */
export function conv2d(
  x: Float64Array,
  weight: Float64Array,
  { N, H, W, C, KH, KW, O }: { N: number; H: number; W: number; C: number; KH: number; KW: number; O: number },
  {
    addend,
    stride = 1,
    padding: [top, left, bottom, right] = [0, 0, 0, 0],
    ...epilogue
  }: Epilogue & {
    /** [N, O] or [1, O] */
    addend?: Float64Array | undefined;
    stride?: number | undefined;
    padding?: readonly [number, number, number, number] | undefined;
  } = {},
): Float64Array {
  const OH = Math.floor((H + top + bottom - KH) / stride) + 1;
  const OW = Math.floor((W + left + right - KW) / stride) + 1;
  const sums = new Float64Array(N * OH * OW * O);
  for (let n = 0; n < N; n++) {
    for (let i = 0; i < OH; i++) {
      for (let j = 0; j < OW; j++) {
        const pixel = sums.subarray(((n * OH + i) * OW + j) * O).subarray(0, O);
        for (let p = 0; p < KH; p++) {
          for (let q = 0; q < KW; q++) {
            const [h, w] = [stride * i + p - top, stride * j + q - left];
            if (h < 0 || h >= H || w < 0 || w >= W) continue;
            for (let c = 0; c < C; c++) {
              const v = x[((n * H + h) * W + w) * C + c]!;
              for (let o = 0; o < O; o++) pixel[o]! += v * weight[((p * KW + q) * C + c) * O + o]!;
            }
          }
        }
        for (let o = 0; o < O; o++) {
          pixel[o]! += (epilogue.bias?.[o] ?? 0) + (addend?.[addend.length === O ? o : n * O + o] ?? 0);
        }
      }
    }
  }
  return finish(sums, epilogue);
}
