import { ShapeError } from "../errors.ts";
import { ceilDiv, sameShape, showShape, showSpec, type TensorSpec } from "../tensor.ts";
import { flatGrid, launch } from "./contract.ts";
import { groupNorm as contract } from "./contracts.gen.ts";
import { pixelShape } from "./group-norm-stats.ts";
import { activationCode, type Activation, type Kernel } from "./kernel.ts";
import { wideAccess } from "./wide.ts";

export interface GroupNormInputs {
  readonly [name: string]: TensorSpec;
  readonly x: TensorSpec;
  /** f32 [N, G, 2], from groupNormStats. */
  readonly stats: TensorSpec;
  readonly weight: TensorSpec;
  readonly bias: TensorSpec;
}

/** Group normalisation with known statistics, then an activation: `y = act((x − mean)·rstd·weight + bias)`.
 *
 *  x [N, …, C], stats f32 [N, G, 2], weight and bias f32 [C] → y like x.
 *  @throws {ShapeError} the shapes do not fit x   @see Wu & He 2018, arXiv:1803.08494 */
export const groupNorm: Kernel<GroupNormInputs, { groups: number; activation?: Activation }> = {
  name: "group-norm",
  output({ x, stats, weight, bias }, { groups }) {
    const { N, C } = pixelShape(x, groups);
    if (!sameShape(stats.shape, [N, groups, 2]) || stats.dtype !== "f32")
      throw new ShapeError(
        `stats ${showSpec(stats)}, x ${showSpec(x)} in ${groups} groups wants f32[${N}, ${groups}, 2]`,
      );
    wantVector("weight", weight, C, x);
    wantVector("bias", bias, C, x);
    return x;
  },
  launch({ x }, _y, { groups, activation }) {
    const { N, P, C } = pixelShape(x, groups);
    const { per, alias, library } = wideAccess(x, C);
    const channels = C / per;
    const threads = N * ceilDiv(P, contract.consts.PIXELS) * channels;
    const grid = flatGrid(ceilDiv(threads, contract.overrides.WG));
    return launch(contract, {
      params: { pixels: P, channels, groupWidth: C / groups, groups, threads, gridX: grid[0] },
      overrides: { ACT: activationCode(activation) },
      alias,
      consts: { WIDTH: per },
      libraries: { wide: library, "activation-wide": per === 4 ? "activation-wide" : "activation-wide-scalar" },
      workgroups: grid,
    });
  },
};

/** Affine parameters are f32 vectors as long as the channels of x.
 *  @throws {ShapeError} */
export function wantVector(name: string, vector: TensorSpec, length: number, x: TensorSpec): void {
  if (!sameShape(vector.shape, [length]) || vector.dtype !== "f32")
    throw new ShapeError(`${name} ${showSpec(vector)}, x ${showSpec(x)} wants f32${showShape([length])}`);
}
