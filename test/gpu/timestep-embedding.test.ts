import { describe, expect, it } from "vitest";
import { timestepEmbedding, timestepFrequencies } from "../../src/kernels/timestep-embedding.ts";
import * as reference from "../reference/pointwise.ts";
import { checkOp, closeAfterTests, floatDtypes } from "../support/op.ts";
import { tensor } from "../support/tensor.ts";

closeAfterTests();

// The argument is an f32 in kernel and reference alike; what remains: the polynomials (2e-9), the reduced angle (2 roundings of at most π/4) and
// about 4 roundings of values up to 1. The result is rounded once more to its dtype.
const bound = (dtype: "f32" | "f16") => (e: number) =>
  1.8e-7 + (dtype === "f16" ? 2 ** -11 * Math.abs(e) + 2 ** -24 : 0);

const cases = [
  { name: "SD1.5", t: [981, 961, 501, 21, 1, 0, 999], dim: 320, freqShift: 0, flip: true },
  { name: "freqShift 1, sines first", t: [999, 499.5, 3], dim: 64, freqShift: 1, flip: false },
  { name: "size 1", t: [999], dim: 2, freqShift: 0, flip: true },
  { name: "divides nothing", t: [7, 13, 17, 19, 23], dim: 66, freqShift: 0, flip: false },
];

describe("timestep-embedding", async () => {
  for (const dtype of await floatDtypes()) {
    it.each(cases)(`${dtype} $dim $name`, async ({ t, dim, freqShift, flip }) => {
      const f = timestepFrequencies(dim, freqShift);
      const [times, frequencies] = [tensor([t.length], "f32", t), tensor([f.length], "f32", f)];
      const expected = reference.timestepEmbedding(times.data, frequencies.data, flip);
      await checkOp(
        timestepEmbedding,
        { t: times, frequencies },
        { flipSinToCos: flip, dtype },
        expected,
        bound(dtype),
      );
    });
  }

  it("is accurate over the whole range of arguments, in both signs and next to the multiples of π/4", async () => {
    const even = Array.from({ length: 20_001 }, (_, i) => (i - 10_000) / 5);
    const critical = Array.from({ length: 2600 }, (_, k) => (k * Math.PI) / 4).flatMap((v) => [v, -v, v * (1 + 1e-7)]);
    const scales = Array.from({ length: 52 }, (_, k) => 1.1 * 2 ** (k - 30)); // up to 2²²
    const t = tensor([even.length + critical.length + scales.length], "f32", [...even, ...critical, ...scales]);
    const frequencies = tensor([1], "f32", [1]);
    const attributes = { flipSinToCos: false, dtype: "f32" } as const;
    const expected = reference.timestepEmbedding(t.data, frequencies.data, false);
    await checkOp(timestepEmbedding, { t, frequencies }, attributes, expected, bound("f32"));
  });

  it("has the frequencies of the models", () => {
    // 10000^(−k/160) for k = 0, 80, 159; 10000^(−k/31) for k = 31.
    const [a, b] = [timestepFrequencies(320, 0), timestepFrequencies(64, 1)];
    expect([a.length, a[0], a[80], a[159]]).toEqual([160, 1, Math.fround(0.01), Math.fround(1.0592537251772879e-4)]);
    expect([b.length, b[0], b[31]]).toEqual([32, 1, Math.fround(1e-4)]);
    expect(() => timestepFrequencies(5, 0)).toThrow("width 5 has no 2 equal halves");
  });

  it("refuses what are no f32 vectors, with both", () => {
    const [t, frequencies] = [{ shape: [3, 1], dtype: "f32" } as const, { shape: [160], dtype: "f32" } as const];
    expect(() => timestepEmbedding.output({ t, frequencies }, { flipSinToCos: true, dtype: "f32" })).toThrow(
      "t f32[3, 1] and frequencies f32[160], wants f32[T] and f32[half]",
    );
  });
});
