import type { TensorSpec } from "../tensor.ts";
import { wgslType } from "./kernel.ts";

/** How a kernel that walks channels reads them: four at a time where `width` allows it, otherwise one.
 *  Specialises shaders that say `//!use wide` and declare `alias stored`, `alias wide`. */
export function wideAccess(
  x: TensorSpec,
  width: number,
): { per: 1 | 4; alias: { stored: string; wide: string }; library: "wide" | "wide-scalar" } {
  return width % 4 === 0
    ? { per: 4, alias: { stored: `vec4<${wgslType(x)}>`, wide: "vec4<f32>" }, library: "wide" }
    : { per: 1, alias: { stored: wgslType(x), wide: "f32" }, library: "wide-scalar" };
}
