import { launch, type Launch } from "./contract.ts";
import { advance as contract } from "./contracts.gen.ts";

/** Moves the sampler on: `state.row = schedule[k]`, then `k + 1`; past the end the last row stays.
 *
 *  Binds `schedule` (from packRows) and `state` (STATE_BYTES, zeros at first). */
export function advanceLaunch(): Launch {
  return launch(contract, { params: {}, workgroups: [1] });
}
