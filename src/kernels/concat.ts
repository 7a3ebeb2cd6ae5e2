import { ShapeError } from "../errors.ts";
import { ceilDiv, elementCount, sameShape, showSpec, type TensorSpec } from "../tensor.ts";
import { flatGrid, launch } from "./contract.ts";
import { concat as contract } from "./contracts.gen.ts";
import type { Kernel } from "./kernel.ts";
import { wideAccess } from "./wide.ts";

/** Concatenation along the last dimension: a [..., Ca], b [..., Cb] → y [..., Ca + Cb].
 *  @throws {ShapeError} the leading dimensions or the dtypes differ */
export const concat: Kernel<{ a: TensorSpec; b: TensorSpec }> = {
  name: "concat",
  output({ a, b }) {
    const rows = a.shape.slice(0, -1);
    if (a.shape.length === 0 || !sameShape(rows, b.shape.slice(0, -1)) || a.dtype !== b.dtype)
      throw new ShapeError(`a ${showSpec(a)} and b ${showSpec(b)} differ in more than their channels`);
    return { shape: [...rows, a.shape.at(-1)! + b.shape.at(-1)!], dtype: a.dtype };
  },
  launch({ a, b }, y) {
    const [aChannels, bChannels] = [a.shape.at(-1)!, b.shape.at(-1)!];
    // Four at a time only if the border falls between two fours, too: 1 says no.
    const { per, alias } = wideAccess(y, aChannels % 4 === 0 && bChannels % 4 === 0 ? aChannels + bChannels : 1);
    const count = elementCount(y.shape) / per;
    const grid = flatGrid(ceilDiv(count, contract.overrides.WG));
    return launch(contract, {
      params: { count, aChannels: aChannels / per, bChannels: bChannels / per, gridX: grid[0] },
      alias: { stored: alias.stored },
      workgroups: grid,
    });
  },
};
