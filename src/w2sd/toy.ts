import { UsageError } from "../errors.ts";

/** A one-dimensional Gaussian mixture Σ w_k·N(μ_k, s²), whose noise prediction is known in closed form at every level:
 *
 *      p_ᾱ(x) = Σ w_k·N(x; √ᾱ·μ_k, ᾱ·s² + 1 − ᾱ),   ε(x) = −√(1−ᾱ)·d/dx log p_ᾱ(x)
 *
 *  A denoiser without a network: what W2SD does to it can be checked to the last digit. */
export interface Mixture {
  /** w_k > 0, summing to 1. */
  readonly weights: readonly number[];
  /** μ_k, as many. */
  readonly means: readonly number[];
  /** s > 0, the same for all modes. */
  readonly sd: number;
}

/** A mixture, its weights scaled to sum to 1. One mode is a Gaussian.
 *  @throws {UsageError} no modes, unequal counts, a weight ≤ 0, a standard deviation ≤ 0, or no number at all */
export function mixture(means: readonly number[], weights: readonly number[], sd: number): Mixture {
  if (means.length === 0 || means.length !== weights.length) {
    throw new UsageError(
      `mixture: ${means.length} means and ${weights.length} weights`,
      "give one weight for each mean",
    );
  }
  const bad = means.find((mean) => !Number.isFinite(mean));
  if (bad !== undefined) throw new UsageError(`mixture: mean ${bad} is not a finite number`);
  const worst = weights.find((weight) => !(weight > 0 && Number.isFinite(weight)));
  if (worst !== undefined) throw new UsageError(`mixture: weight ${worst} is not a positive number`);
  if (!(sd > 0 && Number.isFinite(sd)))
    throw new UsageError(`mixture: standard deviation ${sd} is not a positive number`);
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  return { means, weights: weights.map((weight) => weight / total), sd };
}

/** Two peaks, the left one of weight `left`: the paper's one-dimensional toy.
 *  @throws {UsageError} `left` is not between 0 and 1, or see {@link mixture} */
export function twoPeaks(peaks: readonly [number, number], left: number, sd: number): Mixture {
  if (!(left > 0 && left < 1)) throw new UsageError(`mixture: the left peak's weight ${left} is not between 0 and 1`);
  return mixture(peaks, [left, 1 - left], sd);
}

/** The n standard-normal quantiles at (k + ½)/n, k = 0 … n−1: starting latents without chance in them.
 *  @throws {UsageError} n is not a whole number ≥ 1 */
export function quantileStarts(n: number): Float64Array {
  if (!Number.isSafeInteger(n) || n < 1) throw new UsageError(`samples ${n}: a whole number ≥ 1 is needed`);
  return Float64Array.from({ length: n }, (_, k) => normalQuantile((k + 0.5) / n));
}

/** Share of the values below 0, and the mean of those below and of the others (NaN where there are none). */
export function halves(x: ArrayLike<number>): { left: number; meanLeft: number; meanRight: number } {
  let [nLeft, sumLeft, sumRight] = [0, 0, 0];
  for (let k = 0; k < x.length; k++) {
    if (x[k]! < 0) {
      nLeft += 1;
      sumLeft += x[k]!;
    } else {
      sumRight += x[k]!;
    }
  }
  return { left: nLeft / x.length, meanLeft: sumLeft / nLeft, meanRight: sumRight / (x.length - nLeft) };
}

/** The standard normal's quantile, x with Φ(x) = p, to about 1e-15 relative.   p in (0, 1).
 *  @see Wichura 1988, "The percentage points of the normal distribution", algorithm AS 241 (PPND16) */
export function normalQuantile(p: number): number {
  const q = p - 0.5;
  if (Math.abs(q) <= 0.425) {
    const r = 0.180625 - q * q;
    return (q * polynomial(centreOver, r)) / polynomial(centreUnder, r);
  }
  const r = Math.sqrt(-Math.log(q < 0 ? p : 1 - p));
  const tail =
    r <= 5
      ? polynomial(nearOver, r - 1.6) / polynomial(nearUnder, r - 1.6)
      : polynomial(farOver, r - 5) / polynomial(farUnder, r - 5);
  return q < 0 ? -tail : tail;
}

/** Coefficients of AS 241's three rational approximations, constant term first. */
const centreOver = [
  3.387132872796366608, 133.14166789178437745, 1971.5909503065514427, 13731.693765509461125, 45921.953931549871457,
  67265.770927008700853, 33430.575583588128105, 2509.0809287301226727,
];
const centreUnder = [
  1, 42.313330701600911252, 687.1870074920579083, 5394.1960214247511077, 21213.794301586595867, 39307.89580009271061,
  28729.085735721942674, 5226.495278852854561,
];
const nearOver = [
  1.42343711074968357734, 4.6303378461565452959, 5.7694972214606914055, 3.64784832476320460504, 1.27045825245236838258,
  0.24178072517745061177, 0.0227238449892691845833, 7.7454501427834140764e-4,
];
const nearUnder = [
  1, 2.05319162663775882187, 1.6763848301838038494, 0.68976733498510000455, 0.14810397642748007459,
  0.0151986665636164571966, 5.475938084995344946e-4, 1.05075007164441684324e-9,
];
const farOver = [
  6.6579046435011037772, 5.4637849111641143699, 1.7848265399172913358, 0.29656057182850489123, 0.026532189526576123093,
  0.0012426609473880784386, 2.71155556874348757815e-5, 2.01033439929228813265e-7,
];
const farUnder = [
  1, 0.59983220655588793769, 0.13692988092273580531, 0.0148753612908506148525, 7.868691311456132591e-4,
  1.8463183175100546818e-5, 1.4215117583164458887e-7, 2.04426310338993978564e-15,
];

function polynomial(coefficients: readonly number[], x: number): number {
  return coefficients.reduceRight((sum, c) => sum * x + c, 0);
}
