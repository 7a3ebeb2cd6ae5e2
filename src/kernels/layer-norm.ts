import { ShapeError } from "../errors.ts";
import { ceilDiv, elementCount, showSpec, type TensorSpec } from "../tensor.ts";
import { flatGrid, launch } from "./contract.ts";
import { layerNorm as contract, layerNormSubgroups } from "./contracts.gen.ts";
import { wantVector } from "./group-norm.ts";
import { noFeatures, type Kernel } from "./kernel.ts";
import { wideAccess } from "./wide.ts";

export interface LayerNormInputs {
  readonly [name: string]: TensorSpec;
  readonly x: TensorSpec;
  readonly weight: TensorSpec;
  readonly bias: TensorSpec;
}

/** Rows to a workgroup where each has a subgroup of its own: all of the workgroup's where subgroups have 32 lanes. Larger subgroups take turns; of smaller
 *  ones, the last workgroups find nothing left. */
const SUBGROUP_ROWS = 2;

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
  launch({ x }, _y, { eps }, { subgroups } = noFeatures) {
    const D = rowLength(x);
    const rows = elementCount(x.shape) / D;
    const { per, alias, library } = wideAccess(x, D);
    const params = { rows, channels: D / per, eps };
    const special = { alias, consts: { WIDTH: per }, libraries: { wide: library } };
    if (subgroups)
      return launch(layerNormSubgroups, { params, ...special, workgroups: flatGrid(ceilDiv(rows, SUBGROUP_ROWS)) });
    const { WG, LANES } = contract.overrides;
    const workgroups = flatGrid(ceilDiv(rows, WG / LANES));
    return launch(contract, { params: { ...params, gridX: workgroups[0] }, ...special, workgroups });
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
