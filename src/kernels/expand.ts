import { ShapeError } from "../errors.ts";
import { ceilDiv, elementCount, showSpec, type TensorSpec } from "../tensor.ts";
import { flatGrid, launch } from "./contract.ts";
import { expand as contract } from "./contracts.gen.ts";
import type { Kernel } from "./kernel.ts";
import { wideAccess } from "./wide.ts";

export interface ExpandAttributes {
  readonly times: number;
  readonly dtype: "f32" | "f16";
  readonly scale?: number;
  readonly shift?: number;
}

/** Repetition along the batch, with a cast and an affine map: `y[i] = scale·x[i mod X] + shift`.
 *
 *  x [N, ...] → y [times·N, ...] in the given dtype, computed in f32; scale 1 and shift 0 copy the values as they are.
 *  @throws {ShapeError} x has no batch, or `times` is not a positive integer */
export const expand: Kernel<{ x: TensorSpec }, ExpandAttributes> = {
  name: "expand",
  output({ x }, { times, dtype }) {
    const [N, ...rest] = x.shape;
    if (N === undefined || !(Number.isInteger(times) && times > 0))
      throw new ShapeError(`x ${showSpec(x)} cannot be repeated ${times} times along its ${x.shape.length} dimensions`);
    return { shape: [times * N, ...rest], dtype };
  },
  launch({ x }, y, { scale = 1, shift = 0 }) {
    const elements = elementCount(x.shape);
    const from = wideAccess(x, elements);
    const to = wideAccess(y, elements);
    const count = elementCount(y.shape) / to.per;
    const grid = flatGrid(ceilDiv(count, contract.overrides.WG));
    return launch(contract, {
      params: { count, xCount: elements / from.per, scale, shift, gridX: grid[0] },
      alias: { ...from.alias, result: to.alias.stored },
      workgroups: grid,
    });
  },
};
