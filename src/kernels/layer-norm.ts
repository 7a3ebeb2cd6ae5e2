import { ShapeError } from "../errors.ts";
import { ceilDiv, elementCount, showSpec, type TensorSpec } from "../tensor.ts";
import { flatGrid, launch } from "./contract.ts";
import { layerNorm as contract } from "./contracts.gen.ts";
import { wantVector } from "./group-norm.ts";
import type { Kernel } from "./kernel.ts";
import { wideAccess } from "./wide.ts";

export interface LayerNormInputs {
  readonly [name: string]: TensorSpec;
  readonly x: TensorSpec;
  readonly weight: TensorSpec;
  readonly bias: TensorSpec;
}

/** Layer normalisation over the last dimension: `y = (x − mean)·weight/√(variance + eps) + bias`.
 *
 *  x [..., D], weight and bias f32 [D] → y like x.
 *  @throws {ShapeError} weight or bias is not as long as a row   @see Ba, Kiros & Hinton 2016, arXiv:1607.06450 */
export const layerNorm: Kernel<LayerNormInputs, { eps: number }> = {
  name: "layer-norm",
  output({ x, weight, bias }) {
    const D = rowLength(x);
    wantVector("weight", weight, D, x);
    wantVector("bias", bias, D, x);
    return x;
  },
  launch({ x }, _y, { eps }) {
    const D = rowLength(x);
    const rows = elementCount(x.shape) / D;
    const { per, alias, library } = wideAccess(x, D);
    const { WG, LANES } = contract.overrides;
    const grid = flatGrid(ceilDiv(rows, WG / LANES));
    return launch(contract, {
      params: { rows, channels: D / per, eps, gridX: grid[0] },
      alias,
      consts: { WIDTH: per },
      libraries: { wide: library },
      workgroups: grid,
    });
  },
};

/** Length of the last dimension.
 *  @throws {ShapeError} there is none, or it is empty */
export function rowLength(x: TensorSpec): number {
  const D = x.shape.at(-1) ?? 0;
  if (D === 0 || elementCount(x.shape) === 0)
    throw new ShapeError(`x ${showSpec(x)} has ${elementCount(x.shape)} elements and rows of ${D}`);
  return D;
}
