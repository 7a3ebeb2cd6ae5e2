// Every op in f64, written from its equation: the oracle that the kernels are held to. Plain loops, row-major arrays, no cleverness.
// Letters: N H W C feature maps; B T D batch, tokens, width; M N K matrices; G groups.

export * from "./reference/linear.ts";
export * from "./reference/norm-attention.ts";
export * from "./reference/pointwise.ts";
export * from "./reference/weights.ts";

/** y[i] = a[i] + scale·b[i mod B] */
export function add(a: Float64Array, b: Float64Array, scale = 1): Float64Array {
  return a.map((v, i) => v + scale * b[i % b.length]!);
}
