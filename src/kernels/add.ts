import { ShapeError } from "../errors.ts";
import { ceilDiv, elementCount, showSpec, type TensorSpec } from "../tensor.ts";
import { flatGrid, launch } from "./contract.ts";
import { add as contract } from "./contracts.gen.ts";
import { wgslType, type Kernel } from "./kernel.ts";

/** Sum of two tensors, the second one scaled and, if it is shorter, repeated along the leading dimensions: `y[i] = a[i] + scale·b[i mod B]`.
 *  @throws {ShapeError} b's shape is not the tail of a's, or the dtypes differ */
export const add: Kernel<{ a: TensorSpec; b: TensorSpec }, { scale?: number }> = {
  name: "add",
  output({ a, b }) {
    const tail = a.shape.slice(a.shape.length - b.shape.length);
    const fits = b.shape.length <= a.shape.length && tail.every((d, i) => d === b.shape[i]);
    if (!fits || a.dtype !== b.dtype) throw new ShapeError(`b ${showSpec(b)} is not the tail of a ${showSpec(a)}`);
    return a;
  },
  launch({ a, b }, y, { scale = 1 }) {
    const count = elementCount(y.shape);
    const grid = flatGrid(ceilDiv(count, 64));
    return launch(contract, {
      params: { count, bCount: elementCount(b.shape), scale, gridX: grid[0] },
      alias: { elem: wgslType(a) },
      workgroups: grid,
    });
  },
};
