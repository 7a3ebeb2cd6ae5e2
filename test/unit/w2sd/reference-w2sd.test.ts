import { describe, expect, it } from "vitest";
import { halves, quantileStarts } from "../../../src/w2sd/toy.ts";
import {
  ddim,
  gaussian,
  gaussianMixture,
  guided,
  sampleReference,
  sdAlphaBar,
  type Denoiser,
  type ReferenceRun,
} from "../../reference-w2sd.ts";

const one = (x: number) => Float64Array.of(x);
const peaks = (left: number) => gaussianMixture([[-4], [4]], [left, 1 - left], 0.8);
const starts = quantileStarts(4001);

/** A W2SD run in which MAIN is the strong model, as in the toys. */
const w2sd = (strong: Denoiser, weak: Denoiser, run: Partial<ReferenceRun> = {}): ReferenceRun => ({
  steps: 50,
  main: strong,
  strong,
  weak,
  ...run,
});
const leftShare = (run: ReferenceRun) => halves(sampleReference(starts, run)).left;

describe("one reflection, t = 501 → 481, x = 0.5, s = 0.5", () => {
  const [a, b] = [sdAlphaBar(501), sdAlphaBar(481)];
  const sigma = (level: number) => Math.sqrt((1 - level) / level);

  it("W = N(0, s²) shifts x by the difference of the two predictions", () => {
    const x = one(0.5);
    const e1 = gaussian(1, 0.5)(x, a);
    const y = ddim(x, e1, a, b);
    const e2 = gaussian(0, 0.5)(y, a);
    const reflected = ddim(y, e2, b, a);
    expect(e1[0]).toBeCloseTo(-0.02617809, 8);
    expect(y[0]).toBeCloseTo(0.52573189, 8);
    expect(e2[0]).toBeCloseTo(0.56396153, 8);
    expect(reflected[0]).toBeCloseTo(0.5323321, 8);
    expect(sigma(a) - sigma(b)).toBeCloseTo(0.10447528, 8);
    expect(reflected[0]! - 0.5).toBeCloseTo(Math.sqrt(a) * (sigma(a) - sigma(b)) * (e2[0]! - e1[0]!), 14);
  });

  it("W = S comes back near x, not to it", () => {
    const same = gaussian(1, 0.5);
    const y = ddim(one(0.5), same(one(0.5), a), a, b);
    expect(ddim(y, same(y, a), b, a)[0]).toBeCloseTo(0.50151229, 8);
  });
});

describe("Gaussians μ_S = 1, μ_W = 0, s = 0.5", () => {
  const starts = Float64Array.of(-1.5, -0.5, 0, 0.7, 2);
  const rows: [string, ReferenceRun, number[]][] = [
    ["strong", { steps: 50, main: gaussian(1, 0.5) }, [0.2453, 0.7239, 0.9632, 1.2982, 1.9204]],
    ["ideal", { steps: 50, main: gaussian(2, 0.5) }, [1.2085, 1.6871, 1.9264, 2.2614, 2.8836]],
    ["W2SD exact", w2sd(gaussian(1, 0.5), gaussian(0, 0.5)), [1.1966, 1.6574, 1.8879, 2.2105, 2.8096]],
  ];
  it.each(rows)("%s, T = 50", (_, run, expected) => {
    const x = sampleReference(starts, run);
    expected.forEach((value, k) => expect(x[k]).toBeCloseTo(value, 4));
  });

  it("W2SD tends to the ideal sampler, its error halving as T doubles", () => {
    const error = (steps: number) => {
      const w = sampleReference(starts, w2sd(gaussian(1, 0.5), gaussian(0, 0.5), { steps }));
      const ideal = sampleReference(starts, { steps, main: gaussian(2, 0.5) });
      return Math.max(...w.map((v, k) => Math.abs(v - ideal[k]!)));
    };
    const errors = [125, 250, 500].map(error);
    // First order: the ratio is 2, up to a term of order 1/T.
    expect(errors[0]! / errors[1]!).toBeCloseTo(2, 0);
    expect(errors[1]! / errors[2]!).toBeCloseTo(2, 0);
    expect(errors[2]).toBeLessThan(errors[0]! / 3);
  });
});

describe("mixture of peaks ±4, s = 0.8, left weight: weak .1, strong .3, ideal .5", () => {
  const rows: [string, ReferenceRun, [number, number, number]][] = [
    ["weak", { steps: 50, main: peaks(0.1) }, [0.1415, -3.986, 3.825]],
    ["strong", { steps: 50, main: peaks(0.3) }, [0.3349, -3.957, 3.883]],
    ["W2SD exact, λ = 49", w2sd(peaks(0.3), peaks(0.1)), [0.4881, -4.265, 4.141]],
  ];
  it.each(rows)("%s, T = 50", (_, run, [left, meanLeft, meanRight]) => {
    const result = halves(sampleReference(starts, run));
    expect(result.left).toBeCloseTo(left, 4);
    expect(result.meanLeft).toBeCloseTo(meanLeft, 3);
    expect(result.meanRight).toBeCloseTo(meanRight, 3);
  });

  it("swapped legs make the imbalance worse than the strong model's", () => {
    const swapped = leftShare({ steps: 50, main: peaks(0.3), strong: peaks(0.1), weak: peaks(0.3) });
    expect(swapped).toBeLessThan(0.3349);
  });

  it("fewer reflected steps have part of the effect", () => {
    const shares = [0, 5, 12, 49].map((lambda) => leftShare(w2sd(peaks(0.3), peaks(0.1), { lambda })));
    expect(shares[0]).toBeCloseTo(0.3349, 4);
    expect([...shares].sort((a, b) => a - b)).toEqual(shares);
    expect(new Set(shares).size).toBe(4);
  });

  it("at equal cost, T = 25 with λ = 12 is nearer to balance than T = 50 without", () => {
    const matched = leftShare(w2sd(peaks(0.3), peaks(0.1), { steps: 25, lambda: 12 }));
    expect(Math.abs(matched - 0.5)).toBeLessThan(Math.abs(0.3349 - 0.5) / 2);
  });

  it("a weak model far away makes α = 1 miss by more than not reflecting; α = 0.2 helps", () => {
    const share = (alpha: number) => leftShare(w2sd(peaks(0.42), peaks(0.05), { alpha }));
    const [none, small, full] = [share(0), share(0.2), share(1)];
    expect(none).toBeLessThan(0.5);
    expect(full - 0.5).toBeGreaterThan(0.5 - none);
    expect(Math.abs(small - 0.5)).toBeLessThan((0.5 - none) / 2);
  });

  it("a strong model already beyond the ideal gets worse with every α > 0", () => {
    const shares = [0, 0.25, 0.5, 1].map((alpha) => leftShare(w2sd(peaks(0.6), peaks(0.3), { alpha })));
    expect(shares[0]).toBeGreaterThan(0.5);
    expect([...shares].sort((a, b) => a - b)).toEqual(shares);
    expect(new Set(shares).size).toBe(4);
  });
});

describe("W = S", () => {
  const model = peaks(0.3);

  it("cached queries give plain DDIM, to rounding", () => {
    const cached = sampleReference(starts, w2sd(model, model, { query: "cached" }));
    const plain = sampleReference(starts, { steps: 50, main: model });
    expect(Math.max(...cached.map((v, k) => Math.abs(v - plain[k]!)))).toBeLessThan(1e-10);
  });

  it("published queries give DDIM up to a gap that halves as T doubles", () => {
    const gaussianModel = gaussian(1, 0.5);
    const x = Float64Array.of(-1.5, 0.7, 2);
    const gap = (steps: number, inversion: "exact" | "official") => {
      const reflected = sampleReference(x, w2sd(gaussianModel, gaussianModel, { steps, inversion }));
      const plain = sampleReference(x, { steps, main: gaussianModel });
      return Math.max(...reflected.map((v, k) => Math.abs(v - plain[k]!)));
    };
    expect(gap(50, "exact")).toBeGreaterThan(1e-3);
    expect(gap(125, "exact") / gap(250, "exact")).toBeCloseTo(2, 0);
    expect(gap(50, "official")).not.toBeCloseTo(gap(50, "exact"), 3);
  });
});

// Means near 0: a mean of its own would be shifted by the finite-step gap of W = S, which is as large as this effect.
describe("CFG gap: conditional N(0.2, ½²), unconditional N(0, ½²), S at 5.5, W at 0", () => {
  const [conditional, unconditional] = [gaussian(0.2, 0.5), gaussian(0, 0.5)];
  const starts = quantileStarts(101);
  const mean = (run: ReferenceRun) => {
    const x = sampleReference(starts, run);
    return x.reduce((sum, v) => sum + v, 0) / x.length;
  };

  it("the mean approaches that of CFG at 2·5.5 − 0 = 11, from below", () => {
    const strong = guided(conditional, unconditional, 5.5);
    const gaps = [50, 100, 200].map((steps) => {
      const ordinary = mean({ steps, main: guided(conditional, unconditional, 11) });
      return ordinary - mean(w2sd(strong, unconditional, { steps }));
    });
    expect(Math.min(...gaps)).toBeGreaterThan(0);
    expect(gaps[2]).toBeLessThan(gaps[1]!);
    expect(gaps[1]).toBeLessThan(gaps[0]!);
    // Ordinary CFG at 5.5 lands half way.
    expect(mean({ steps: 50, main: strong })).toBeCloseTo(
      mean({ steps: 50, main: guided(conditional, unconditional, 11) }) / 2,
      10,
    );
    expect(gaps[0]).toBeLessThan(0.05);
  });
});

describe("2-D mixture at the corners of a square, one of them scarce", () => {
  const corners = [
    [-4, -4],
    [-4, 4],
    [4, -4],
    [4, 4],
  ];
  const model = (scarce: number) => {
    const rest = (1 - scarce) / 3;
    return gaussianMixture(corners, [scarce, rest, rest, rest], 0.8, 2);
  };
  const line = quantileStarts(41);
  const grid = Float64Array.from([...line].flatMap((u) => [...line].flatMap((v) => [u, v])));
  const scarceCorner = (run: ReferenceRun) => {
    const x = sampleReference(grid, run);
    let [count, sum] = [0, 0];
    for (let k = 0; k < x.length; k += 2) {
      if (x[k]! < 0 && x[k + 1]! < 0) [count, sum] = [count + 1, sum + x[k]!];
    }
    return { share: count / (x.length / 2), mean: sum / count };
  };

  it("W2SD raises the scarce corner well above the strong model's share, and lands slightly outside it", () => {
    const strong = scarceCorner({ steps: 50, main: model(0.1) });
    const reflected = scarceCorner(w2sd(model(0.1), model(0.02)));
    expect(reflected.share).toBeGreaterThan(1.5 * strong.share);
    expect(reflected.mean).toBeLessThan(-4);
    expect(reflected.mean).toBeGreaterThan(-5);
  });
});
