import { ShapeError } from "../errors.ts";
import { elementCount, showSpec, type TensorSpec } from "../tensor.ts";
import { launch } from "./contract.ts";
import { groupNormStats as contract, groupNormStatsSubgroups } from "./contracts.gen.ts";
import { noFeatures, type Kernel } from "./kernel.ts";
import { wideAccess } from "./wide.ts";

export interface GroupNormStatsAttributes {
  /** G: how many groups the channels form. */
  readonly groups: number;
  /** Added to the variance. */
  readonly eps: number;
}

/** Statistics of group normalisation: mean and `1/√(variance + eps)` of each group of C/G channels over all pixels.
 *
 *  x [N, …, C] → y f32 [N, G, 2]; for every later use of x under the same grouping.
 *  @throws {ShapeError} G does not divide C   @see Wu & He 2018, arXiv:1803.08494 */
export const groupNormStats: Kernel<{ x: TensorSpec }, GroupNormStatsAttributes> = {
  name: "group-norm-stats",
  output({ x }, { groups }) {
    const { N } = pixelShape(x, groups);
    return { shape: [N, groups, 2], dtype: "f32" };
  },
  launch({ x }, _y, { groups, eps }, { subgroups } = noFeatures) {
    const { N, P, C } = pixelShape(x, groups);
    const { per, alias, library } = wideAccess(x, C / groups);
    return launch(subgroups ? groupNormStatsSubgroups : contract, {
      params: { pixels: P, channels: C / per, groups, eps },
      alias,
      consts: { WIDTH: per },
      libraries: { wide: library },
      workgroups: [groups, N],
    });
  },
};

/** N pictures of P pixels with C channels in `groups` groups.
 *  @throws {ShapeError} x has no pixels and channels, or they do not split */
export function pixelShape(x: TensorSpec, groups: number): { N: number; P: number; C: number } {
  const [N = 1, ...rest] = x.shape;
  const C = rest.at(-1) ?? 0;
  if (x.shape.length < 3)
    throw new ShapeError(`x ${showSpec(x)} has rank ${x.shape.length}, wants 3 or more: [N, …, C]`);
  if (!Number.isInteger(groups) || groups < 1 || C % groups !== 0)
    throw new ShapeError(`${groups} groups do not divide the ${C} channels of x ${showSpec(x)}`);
  return { N, P: elementCount(rest) / C, C };
}
