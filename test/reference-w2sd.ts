/** The whole W2SD sampler as a plain f64 loop, with denoisers known in closed form. Written from the formulas, sharing no
 *  code with src/: what the sampler's rows and the GPU's arithmetic are held against.
 *  @see Bai et al. 2025, arXiv:2502.00473 Algorithm 1 */

/** Predicted noise of latents x at level ᾱ: [N] → [N]. The timestep itself is in ᾱ. */
export type Denoiser = (x: Float64Array, alphaBar: number) => Float64Array;

export interface ReferenceRun {
  readonly steps: number;
  /** MAIN. */
  readonly main: Denoiser;
  /** DOWN and UP; without them plain DDIM. */
  readonly strong?: Denoiser;
  readonly weak?: Denoiser;
  readonly lambda?: number;
  readonly inversion?: "exact" | "official";
  readonly query?: "published" | "aligned" | "cached";
  readonly alpha?: number;
  readonly repeats?: number;
  readonly spacing?: "leading" | "trailing";
  /** Where the last step ends; default ᾱ[0]. */
  readonly finalAlphaBar?: number;
}

/** ᾱ_t of Stable Diffusion: β_t = (√0.00085 + t/999·(√0.012 − √0.00085))². */
export function sdAlphaBar(t: number): number {
  const [low, high] = [Math.sqrt(0.00085), Math.sqrt(0.012)];
  let product = 1;
  for (let s = 0; s <= t; s++) product *= 1 - (low + (s / 999) * (high - low)) ** 2;
  return product;
}

/** DDIM, η = 0, from level a to level b. */
export function ddim(x: Float64Array, eps: Float64Array, a: number, b: number): Float64Array {
  return x.map((xk, k) => {
    const x0 = (xk - Math.sqrt(1 - a) * eps[k]!) / Math.sqrt(a);
    return Math.sqrt(b) * x0 + Math.sqrt(1 - b) * eps[k]!;
  });
}

export function sampleReference(start: Float64Array, run: ReferenceRun): Float64Array {
  const { steps, main, strong, weak, inversion = "exact", query = "published", alpha = 1, repeats = 1 } = run;
  const lambda = run.lambda ?? steps - 1;
  const n = 1000;
  const t = Array.from({ length: steps }, (_, i) =>
    run.spacing === "trailing" ? Math.round(n - (i * n) / steps) - 1 : (steps - 1 - i) * Math.floor(n / steps) + 1,
  );
  const level = [...t.map(sdAlphaBar), run.finalAlphaBar ?? sdAlphaBar(0)];

  let x = start;
  for (let i = 0; i < steps; i++) {
    const a = level[i]!;
    const b = level[i + 1]!;
    if (strong && weak && i < lambda && i < steps - 1) {
      for (let k = 0; k < repeats; k++) {
        const y = ddim(x, strong(x, a), a, b);
        const e2 = query === "published" ? weak(y, a) : query === "aligned" ? weak(y, b) : weak(x, a);
        const reflected = inversion === "exact" ? ddim(y, e2, b, a) : ddim(y, e2, level[i + 2]!, b);
        x = x.map((xk, j) => xk + alpha * (reflected[j]! - xk));
      }
    }
    x = ddim(x, main(x, a), a, b);
  }
  return x;
}

/** Noise prediction of N(μ, s²): √(1−ᾱ)·(x − √ᾱ·μ)/(ᾱ·s² + 1 − ᾱ). */
export function gaussian(mean: number, sd: number): Denoiser {
  return (x, a) => x.map((xk) => (Math.sqrt(1 - a) * (xk - Math.sqrt(a) * mean)) / (a * sd * sd + 1 - a));
}

/** Noise prediction of Σ w_k·N(μ_k, s²·1) over points of `dimensions` coordinates, stored one after the other:
 *  −√(1−ᾱ)·∇log p_ᾱ, the responsibility-weighted mean of the modes' own predictions. */
export function gaussianMixture(
  means: readonly (readonly number[])[],
  weights: readonly number[],
  sd: number,
  dimensions = 1,
): Denoiser {
  return (x, a) => {
    const variance = a * sd * sd + 1 - a;
    const eps = new Float64Array(x.length);
    for (let from = 0; from < x.length; from += dimensions) {
      const offset = means.map((mean) => mean.map((m, d) => x[from + d]! - Math.sqrt(a) * m));
      const log = offset.map((o, k) => Math.log(weights[k]!) - o.reduce((sum, v) => sum + v * v, 0) / (2 * variance));
      const top = Math.max(...log);
      const share = log.map((l) => Math.exp(l - top));
      const total = share.reduce((sum, v) => sum + v, 0);
      for (let d = 0; d < dimensions; d++) {
        const mean = offset.reduce((sum, o, k) => sum + (share[k]! / total) * o[d]!, 0);
        eps[from + d] = (Math.sqrt(1 - a) * mean) / variance;
      }
    }
    return eps;
  };
}

/** Classifier-free guidance: ε_u + w·(ε_c − ε_u). */
export function guided(conditional: Denoiser, unconditional: Denoiser, w: number): Denoiser {
  return (x, a) => {
    const c = conditional(x, a);
    const u = unconditional(x, a);
    return u.map((uk, k) => uk + w * (c[k]! - uk));
  };
}
