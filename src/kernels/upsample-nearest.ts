import { ShapeError } from "../errors.ts";
import { ceilDiv, elementCount, showSpec, type TensorSpec } from "../tensor.ts";
import { flatGrid, launch } from "./contract.ts";
import { upsampleNearest as contract } from "./contracts.gen.ts";
import type { Kernel } from "./kernel.ts";
import { wideAccess } from "./wide.ts";

/** Nearest-neighbour upsampling by 2: every pixel becomes a square of four.
 *
 *  x [N, H, W, C] → y [N, 2H, 2W, C].
 *  @throws {ShapeError} x is no feature map */
export const upsampleNearest: Kernel<{ x: TensorSpec }> = {
  name: "upsample-nearest",
  output({ x }) {
    const [N, H, W, C] = x.shape;
    if (x.shape.length !== 4)
      throw new ShapeError(`x ${showSpec(x)} has ${x.shape.length} dimensions, a feature map 4`);
    return { shape: [N!, 2 * H!, 2 * W!, C!], dtype: x.dtype };
  },
  launch({ x }, y) {
    const [, , W = 1, C = 1] = x.shape;
    const { per, alias } = wideAccess(x, C);
    const count = elementCount(y.shape) / per;
    const grid = flatGrid(ceilDiv(count, contract.overrides.WG));
    return launch(contract, {
      params: { count, width: W, channels: C / per, gridX: grid[0] },
      alias: { stored: alias.stored },
      workgroups: grid,
    });
  },
};
