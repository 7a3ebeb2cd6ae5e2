import { ShapeError } from "../errors.ts";
import { ceilDiv, elementCount, showSpec, type TensorSpec } from "../tensor.ts";
import { flatGrid, launch } from "./contract.ts";
import { rgba as contract } from "./contracts.gen.ts";
import { wgslType, type Kernel } from "./kernel.ts";

/** Pictures as RGBA bytes, R lowest, opaque: `round(255·clamp(scale·x + shift, 0, 1))`, halves to even. The defaults take [−1, 1].
 *
 *  x [N, H, W, 3] → y u32 [N, H, W]. A pixel with a NaN becomes 0: its alpha of 0 tells it from every other.
 *  @throws {ShapeError} x has not 3 channels */
export const rgba: Kernel<{ x: TensorSpec }, { scale?: number; shift?: number }> = {
  name: "rgba",
  output({ x }) {
    if (x.shape.length !== 4 || x.shape[3] !== 3) throw new ShapeError(`x ${showSpec(x)}, wants [N, H, W, 3]`);
    return { shape: x.shape.slice(0, 3), dtype: "u32" };
  },
  launch({ x }, y, { scale = 0.5, shift = 0.5 }) {
    const count = elementCount(y.shape);
    const grid = flatGrid(ceilDiv(count, contract.overrides.WG));
    return launch(contract, {
      params: { count, scale, shift, gridX: grid[0] },
      alias: { elem: wgslType(x) },
      workgroups: grid,
    });
  },
};
