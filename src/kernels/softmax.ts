import { ceilDiv, elementCount, type TensorSpec } from "../tensor.ts";
import { flatGrid, launch } from "./contract.ts";
import { softmax as contract } from "./contracts.gen.ts";
import type { Kernel } from "./kernel.ts";
import { rowLength } from "./layer-norm.ts";
import { wideAccess } from "./wide.ts";

/** Softmax over the last dimension: `y = exp(scale·x − max) / Σ exp(scale·x − max)`, in f32.
 *
 *  x [..., D] → y like x, in [0, 1].
 *  @throws {ShapeError} the rows are empty */
export const softmax: Kernel<{ x: TensorSpec }, { scale?: number }> = {
  name: "softmax",
  output({ x }) {
    rowLength(x);
    return x;
  },
  launch({ x }, _y, { scale = 1 }) {
    const D = rowLength(x);
    const rows = elementCount(x.shape) / D;
    const { per, alias, library } = wideAccess(x, D);
    const { WG, LANES } = contract.overrides;
    const grid = flatGrid(ceilDiv(rows, WG / LANES));
    return launch(contract, {
      params: { rows, width: D / per, scale: scale * Math.LOG2E, gridX: grid[0] },
      alias,
      libraries: { wide: library },
      workgroups: grid,
    });
  },
};
