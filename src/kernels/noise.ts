import { ceilDiv } from "../tensor.ts";
import { flatGrid, launch, type Launch } from "./contract.ts";
import { noise as contract } from "./contracts.gen.ts";

/** Standard normal noise by Philox4x32-10 and Box-Muller: element i is the one at counter (offset, 0, i, 0), key (seedLow, seedHigh).
 *
 *  Writes `y` f32 [count]; seed words and offset are u32. Relative error ≤ 1e-6 against exact arithmetic.
 *  @see Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3" */
export function noiseLaunch(given: {
  readonly count: number;
  readonly seedLow: number;
  readonly seedHigh: number;
  readonly offset: number;
}): Launch {
  const { count, seedLow, seedHigh, offset } = given;
  const grid = flatGrid(ceilDiv(count, contract.overrides.WG));
  return launch(contract, { params: { count, seedLow, seedHigh, offset, gridX: grid[0] }, workgroups: grid });
}
