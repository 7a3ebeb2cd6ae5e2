import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { UsageError } from "../../../src/errors.ts";
import { halves, mixture, normalQuantile, quantileStarts, twoPeaks } from "../../../src/w2sd/toy.ts";

/** p and Φ⁻¹(p). */
const quantiles: [number, number][] = [
  [0.975, 1.9599639845400539],
  [0.9, 1.2815515655446006],
  [0.6, 0.25334710313579974],
  [0.25, -0.67448975019608174],
  [0.0001, -3.7190164854556806],
  [1e-10, -6.3613409024040562],
  [1e-50, -14.933337534788489],
  [1e-300, -37.047096299361199],
  [0.00012496875781054737, -3.6623239475746923],
  [0.3085478630342414, -0.4999706752361512],
];

describe("normalQuantile", () => {
  // To 17 digits, from an arbitrary-precision inverse of the error function.
  it.each(quantiles)("Φ⁻¹(%d)", (p, x) => {
    expect(Math.abs(normalQuantile(p) / x - 1)).toBeLessThan(2e-15);
  });
  it("is 0 at ½ and odd around it", () => {
    expect(normalQuantile(0.5)).toBe(0);
    // Exact halves of powers of two, so that 1 − p is exact too.
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 2 ** 20 - 1 }), (k) => {
        expect(normalQuantile(k / 2 ** 21)).toBe(-normalQuantile(1 - k / 2 ** 21));
      }),
    );
  });
});

describe("quantileStarts", () => {
  it("are symmetric and increasing, with a variance just below 1", () => {
    const x = quantileStarts(4001);
    expect(x).toHaveLength(4001);
    expect(x[2000]).toBe(0);
    expect(x[0]! + x[4000]!).toBeCloseTo(0, 10);
    expect([...x].every((v, k) => k === 0 || v > x[k - 1]!)).toBe(true);
    const variance = x.reduce((sum, v) => sum + v * v, 0) / x.length;
    expect(variance).toBeLessThan(1);
    expect(variance).toBeGreaterThan(0.999);
  });
  it.each([0, -1, 1.5, NaN])("refuses %s samples", (n) => expect(() => quantileStarts(n)).toThrow(UsageError));
});

describe("mixtures", () => {
  it("two peaks share the weight", () => {
    expect(twoPeaks([-4, 4], 0.25, 0.8)).toEqual({ means: [-4, 4], weights: [0.25, 0.75], sd: 0.8 });
    expect(mixture([1], [3], 0.5)).toEqual({ means: [1], weights: [1], sd: 0.5 });
  });
  it.each([
    ["no modes", () => mixture([], [], 1), /0 means/],
    ["unequal counts", () => mixture([1, 2], [1], 1), /2 means and 1 weights/],
    ["a weight of 0", () => mixture([1, 2], [0, 1], 1), /weight 0/],
    ["a NaN weight", () => mixture([1], [NaN], 1), /weight NaN/],
    ["a NaN mean", () => mixture([NaN], [1], 1), /mean NaN/],
    ["no width", () => mixture([1], [1], 0), /deviation 0/],
    ["a left weight of 1", () => twoPeaks([-1, 1], 1, 1), /weight 1/],
  ])("refuse %s", (_, make, words) => {
    expect(make).toThrow(UsageError);
    expect(make).toThrow(words);
  });
});

describe("halves", () => {
  it("splits at 0", () => {
    expect(halves([-3, -1, 0, 2, 4])).toEqual({ left: 0.4, meanLeft: -2, meanRight: 2 });
    expect(halves([1, 3])).toEqual({ left: 0, meanLeft: NaN, meanRight: 2 });
  });
});
