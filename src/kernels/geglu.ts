import { ShapeError } from "../errors.ts";
import { ceilDiv, elementCount, showSpec, type TensorSpec } from "../tensor.ts";
import { flatGrid, launch } from "./contract.ts";
import { geglu as contract } from "./contracts.gen.ts";
import type { Kernel } from "./kernel.ts";
import { wideAccess } from "./wide.ts";

/** Gated linear unit with GELU (by erf): `y[…, d] = x[…, d]·gelu(x[…, D + d])`.
 *
 *  x [..., 2D] → y [..., D].
 *  @throws {ShapeError} the width of x is odd   @see Shazeer 2020, arXiv:2002.05202 */
export const geglu: Kernel<{ x: TensorSpec }> = {
  name: "geglu",
  output({ x }) {
    const width = x.shape.at(-1) ?? 0;
    if (width === 0 || width % 2 !== 0)
      throw new ShapeError(`x ${showSpec(x)} has ${width} channels, which do not make 2 equal halves`);
    return { shape: [...x.shape.slice(0, -1), width / 2], dtype: x.dtype };
  },
  launch({ x }, y) {
    const width = y.shape.at(-1)!;
    const { per, alias } = wideAccess(x, width);
    const count = elementCount(y.shape) / per;
    const grid = flatGrid(ceilDiv(count, contract.overrides.WG));
    return launch(contract, {
      params: { count, width: width / per, gridX: grid[0] },
      alias,
      libraries: { "activation-wide": per === 4 ? "activation-wide" : "activation-wide-scalar" },
      workgroups: grid,
    });
  },
};
