import { ShapeError } from "../errors.ts";
import { ceilDiv, elementCount, showSpec, type TensorSpec } from "../tensor.ts";
import { flatGrid, launch } from "./contract.ts";
import { slice as contract } from "./contracts.gen.ts";
import type { Kernel } from "./kernel.ts";
import { wideAccess } from "./wide.ts";

/** The channels `from` (inclusive) to `to` (exclusive): x [..., C] → y [..., to − from].
 *  @throws {ShapeError} x has no such channels */
export const slice: Kernel<{ x: TensorSpec }, { from: number; to: number }> = {
  name: "slice",
  output({ x }, { from, to }) {
    const channels = x.shape.at(-1) ?? 0;
    const whole = Number.isInteger(from) && Number.isInteger(to);
    if (!(whole && from >= 0 && from < to && to <= channels))
      throw new ShapeError(`channels ${from} to ${to} of x ${showSpec(x)}, which has ${channels}`);
    return { shape: [...x.shape.slice(0, -1), to - from], dtype: x.dtype };
  },
  launch({ x }, y, { from, to }) {
    const channels = x.shape.at(-1)!;
    const { per, alias } = wideAccess(x, [channels, from, to].every((c) => c % 4 === 0) ? channels : 1);
    const count = elementCount(y.shape) / per;
    const grid = flatGrid(ceilDiv(count, contract.overrides.WG));
    return launch(contract, {
      params: { count, xChannels: channels / per, yChannels: (to - from) / per, first: from / per, gridX: grid[0] },
      alias: { stored: alias.stored },
      workgroups: grid,
    });
  },
};
