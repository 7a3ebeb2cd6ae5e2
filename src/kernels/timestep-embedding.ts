import { ShapeError } from "../errors.ts";
import { ceilDiv, showSpec, type TensorSpec } from "../tensor.ts";
import { flatGrid, launch } from "./contract.ts";
import { timestepEmbedding as contract } from "./contracts.gen.ts";
import { wgslType, type Kernel } from "./kernel.ts";

/** Sinusoids of timesteps: `y[t] = (sin t·f_0 … , cos t·f_0 …)`, or with `flipSinToCos` the cosines first.
 *
 *  t f32 [T], frequencies f32 [half] → y [T, 2·half] in the given dtype; |t·f| < 2²³.
 *  @throws {ShapeError} not two f32 vectors   @see Ho et al. 2020, arXiv:2006.11239 */
export const timestepEmbedding: Kernel<
  { t: TensorSpec; frequencies: TensorSpec },
  { flipSinToCos: boolean; dtype: "f32" | "f16" }
> = {
  name: "timestep-embedding",
  output({ t, frequencies }, { dtype }) {
    if ([t, frequencies].some((v) => v.shape.length !== 1 || v.dtype !== "f32"))
      throw new ShapeError(`t ${showSpec(t)} and frequencies ${showSpec(frequencies)}, wants f32[T] and f32[half]`);
    return { shape: [t.shape[0]!, 2 * frequencies.shape[0]!], dtype };
  },
  launch({ t, frequencies }, y, { flipSinToCos }) {
    const [[T = 0], [half = 0]] = [t.shape, frequencies.shape];
    const grid = flatGrid(ceilDiv(T * half, contract.overrides.WG));
    return launch(contract, {
      params: { pairs: T * half, half, gridX: grid[0] },
      overrides: { COS_FIRST: flipSinToCos },
      alias: { elem: wgslType(y) },
      workgroups: grid,
    });
  },
};

/** Frequencies of a sinusoidal embedding of width `dim`: `f_k = maxPeriod^(−k/(dim/2 − freqShift))`, k < dim/2, as diffusers' models define them.
 *  @throws {ShapeError} `dim` is odd */
export function timestepFrequencies(dim: number, freqShift: number, maxPeriod = 10_000): Float32Array {
  const half = dim / 2;
  if (!Number.isInteger(half)) throw new ShapeError(`a timestep embedding of width ${dim} has no 2 equal halves`);
  return Float32Array.from({ length: half }, (_, k) => Math.exp((-Math.log(maxPeriod) * k) / (half - freqShift)));
}
