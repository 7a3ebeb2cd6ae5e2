import { ceilDiv } from "../tensor.ts";
import { flatGrid, launch, type Launch } from "./contract.ts";
import { gmmEps as contract } from "./contracts.gen.ts";

/** The noise prediction of Σ w_k·N(μ_k, sd²), known in closed form, for every element of the latent that the row in force asks about.
 *
 *      ε = √(1−ᾱ)/v·Σ r_k·(q − √ᾱ·μ_k),  v = ᾱ·sd² + 1 − ᾱ,  r_k ∝ w_k·exp(−(q − √ᾱ·μ_k)²/2v)
 *
 *  Binds `state`; the latents `x`, `y` f32 [count]; `mixture` f32 [w_0, μ_0, w_1, μ_1, …], modes without weight count for nothing and one must have some;
 *  `output` f32, written from element `outputOffset` on. Needs ᾱ < 1 or sd > 0. */
export function gmmEpsLaunch(given: {
  readonly count: number;
  readonly modes: number;
  readonly sd: number;
  readonly outputOffset: number;
}): Launch {
  const { count, modes, sd, outputOffset } = given;
  const grid = flatGrid(ceilDiv(count, contract.overrides.WG));
  const params = { count, modes, variance: sd * sd, outputOffset, gridX: grid[0] };
  return launch(contract, { params, workgroups: grid });
}
