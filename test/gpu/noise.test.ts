import { describe, expect, it } from "vitest";
import { noiseLaunch } from "../../src/kernels/noise.ts";
import * as reference from "../reference/pointwise.ts";
import { testGpu } from "../support/adapter.ts";
import { mismatch } from "../support/mismatch.ts";
import { closeAfterTests, runLaunch } from "../support/op.ts";

closeAfterTests();

async function run(seedLow: number, seedHigh: number, offset: number, count: number): Promise<Float64Array> {
  const launch = noiseLaunch({ seedLow, seedHigh, offset, count });
  return (await runLaunch(await testGpu(), launch, {}, { y: { shape: [count], dtype: "f32" } }))["y"]!;
}

const cases = [
  { name: "control", seedLow: 0, seedHigh: 0, offset: 0, count: 16384 },
  { name: "size 1", seedLow: 42, seedHigh: 0, offset: 0, count: 1 },
  { name: "divides nothing", seedLow: 42, seedHigh: 0, offset: 0, count: 33 * 31 },
  { name: "a seed of 64 bits", seedLow: 0xfedcba98, seedHigh: 0x89abcdef, offset: 0, count: 1000 },
  { name: "a later draw", seedLow: 42, seedHigh: 0, offset: 0xfffffff0, count: 1000 },
];

describe("noise", () => {
  it.each(cases)("$name", async ({ seedLow, seedHigh, offset, count }) => {
    const expected = reference.noise(seedLow, seedHigh, offset, count);
    // Relative, however small the value: logarithm, root, quotient, sine and product round about 10 times.
    const report = mismatch(
      "y",
      [count],
      await run(seedLow, seedHigh, offset, count),
      expected,
      (e) => 1e-6 * Math.abs(e),
    );
    if (report) throw new Error(report);
  });

  it("draws the published values of seed 0", async () => {
    // stable-diffusion-webui's "NV" generator
    const published = [-0.92466, -0.42534, -2.64385, 0.14518, -0.12087, -0.57973, -0.62285, -0.32839, -1.07454, -0.36314, -1.67105, 2.2655]; // prettier-ignore
    const y = await run(0, 0, 0, 12);
    published.forEach((v, i) => expect(y[i]).toBeCloseTo(v, 5));
  });
});
