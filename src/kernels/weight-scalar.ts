import type { TensorSpec } from "../tensor.ts";
import { wgslType } from "./kernel.ts";

/** How a kernel of any sizes reads single weights: natively, or as one half of a u32 where arithmetic is f32.
 *  Specialises shaders that say `//!use weight-scalar`, as `weightAccess` does for four at a time. */
export function weightScalarAccess(
  x: TensorSpec,
  weight: TensorSpec,
): { wscalar: string; library: "weight-scalar" | "weight-scalar-packed" } {
  if (weight.dtype === "f16" && x.dtype !== "f16") return { wscalar: "u32", library: "weight-scalar-packed" };
  return { wscalar: wgslType(weight), library: "weight-scalar" };
}
