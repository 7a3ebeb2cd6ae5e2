// Weights on their way from the file to the kernels.

/** y[p, i, o] = w[o, i, p]: [O, I, P] → [P, I, O] */
export function transposeWeight(w: Float64Array, [O, I, P]: readonly [number, number, number]): Float64Array {
  const y = new Float64Array(w.length);
  for (let o = 0; o < O; o++) {
    for (let i = 0; i < I; i++) for (let p = 0; p < P; p++) y[(p * I + i) * O + o] = w[(o * I + i) * P + p]!;
  }
  return y;
}
