import type { Dtype } from "../../src/tensor.ts";

/** Half the distance from 1 to the next number: the relative error of one rounding. */
export const unitRoundoff: Record<"f32" | "f16", number> = { f32: 2 ** -24, f16: 2 ** -11 };

/** Bound on |computed − exact| for a sum of n products of inputs in [-1, 1], accumulated in f32 and stored in `dtype`.
 *
 *  The k-th partial sum of random terms has size about √k and each addition rounds it, so the errors add up to about u·n/√2; with the product's own
 *  rounding, u·(n + 8) leaves a factor of two or more. Storing rounds once more, relative to the value; f16 also has a smallest step of 2⁻²⁴.
 *  `scale` is the typical size of one term. */
export function tolerance(dtype: Dtype, n: number, scale = 1): (expected: number) => number {
  const accumulation = unitRoundoff.f32 * (n + 8) * scale;
  if (dtype === "f16")
    return (expected) => accumulation + 1.01 * unitRoundoff.f16 * (Math.abs(expected) + accumulation) + 2 ** -24;
  return (expected) => accumulation + 2 * unitRoundoff.f32 * Math.abs(expected);
}
