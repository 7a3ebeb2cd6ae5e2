import { ceilDiv } from "../tensor.ts";
import { flatGrid, launch, type Launch } from "./contract.ts";
import { ddimStep as contract } from "./contracts.gen.ts";

/** What follows a network evaluation: guidance, DDIM step (forward or inverse) and strength, as the row in force says.
 *
 *      o = o_u + guidance·(o_c − o_u),  ε = ex·query + em·o,  F = cx·source + ce·ε,  target = x + strength·(F − x)
 *
 *  Binds `state`; `output` [branches, count] in `dtype`, unconditional first (with one branch there is no guidance); the latents `x` and `y` f32 [count],
 *  one of which is overwritten.   @see Song et al. 2020, arXiv:2010.02502 eq. 12 */
export function ddimStepLaunch(given: {
  readonly count: number;
  readonly branches: 1 | 2;
  readonly dtype: "f32" | "f16";
}): Launch {
  const { count, branches, dtype } = given;
  const grid = flatGrid(ceilDiv(count, contract.overrides.WG));
  return launch(contract, { params: { count, branches, gridX: grid[0] }, alias: { elem: dtype }, workgroups: grid });
}
