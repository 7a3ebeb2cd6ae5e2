import { describe, expect, it } from "vitest";
import { layerNorm } from "../../src/kernels/layer-norm.ts";
import { layerNorm as reference } from "../reference/norm-attention.ts";
import { testGpu } from "../support/adapter.ts";
import { mismatch } from "../support/mismatch.ts";
import { checkOp, closeAfterTests, featureNames, floatDtypes, kernelFeatures, runLaunch } from "../support/op.ts";
import { random, tensor } from "../support/tensor.ts";
import { tolerance } from "../support/tolerance.ts";

closeAfterTests();

interface Case {
  readonly name: string;
  readonly x: readonly number[];
  readonly eps?: number;
  /** Applied to values in [-1, 1]. */
  readonly value?: (v: number, i: number) => number;
}

const cases: Case[] = [
  { name: "control", x: [2, 64, 320] },
  { name: "rows that fill no workgroup", x: [77, 768] },
  { name: "odd width", x: [3, 31, 33] },
  { name: "one row", x: [1280] },
  { name: "size 1", x: [1, 1] },
  { name: "one wide", x: [5, 4] },
  { name: "wider than a team", x: [7, 36] },
  { name: "constant rows", x: [9, 64], value: () => 3 },
  { name: "large eps", x: [9, 64], eps: 0.5 },
];

describe("layer-norm", async () => {
  const variants = await kernelFeatures();
  for (const dtype of await floatDtypes()) {
    for (const features of variants)
      it.each(cases)(`${dtype} ${featureNames(features)} $name`, async ({ x, value, eps = 1e-5 }) => {
        const raw = random(x, dtype);
        const tx = value ? tensor(x, dtype, raw.data.map(value)) : raw;
        const [weight, bias] = [random([x.at(-1)!], "f32", 2), random([x.at(-1)!], "f32", 3)];
        const expected = reference(tx.data, weight.data, bias.data, eps);
        // Normalised values reach 2; each lane adds D/8 terms and the team 8: the relative error of mean and variance stays below 16 u.
        await checkOp(layerNorm, { x: tx, weight, bias }, { eps }, expected, tolerance(dtype, 16, 2), features);
      });
  }

  it.each(variants.flatMap((features) => [768, 63].map((D) => ({ name: featureNames(features), features, D }))))(
    "f32 $name, mean of 1000 standard deviations, width $D",
    async ({ features, D }) => {
      const raw = random([16, D]);
      const x = tensor(
        [16, D],
        "f32",
        raw.data.map((v) => 1000 + v * Math.sqrt(3)),
      );
      const [weight, bias] = [random([D], "f32", 2), random([D], "f32", 3)];
      const expected = reference(x.data, weight.data, bias.data, 1e-5);
      // Differences from the row's first element are exact: the bound knows nothing of the 1000.
      await checkOp(layerNorm, { x, weight, bias }, { eps: 1e-5 }, expected, tolerance("f32", 16, 2), features);
    },
  );

  it.skipIf(variants.length === 1).each([
    { name: "fewer workgroups than rows call for", overrides: {}, workgroups: [1, 1, 1] as const },
    { name: "a grid of two dimensions", overrides: {}, workgroups: [3, 2, 1] as const },
    // As 128 lanes have in a workgroup of 64: no adapter's subgroup is smaller than 4.
    { name: "a workgroup smaller than a subgroup", overrides: { WG: 2 }, workgroups: [3, 1, 1] as const },
  ])("with subgroups $name", async ({ overrides, workgroups }) => {
    const [x, weight, bias] = [random([37, 68], "f32"), random([68], "f32", 2), random([68], "f32", 3)];
    const spec = layerNorm.output({ x, weight, bias }, { eps: 1e-5 });
    const launch = layerNorm.launch({ x, weight, bias }, spec, { eps: 1e-5 }, { subgroups: true });
    const { y } = await runLaunch(
      await testGpu(),
      { ...launch, overrides, workgroups },
      { x, weight, bias },
      { y: spec },
    );
    const expected = reference(x.data, weight.data, bias.data, 1e-5);
    // One of two lanes adds 9 terms of four.
    expect(mismatch("y", spec.shape, y!, expected, tolerance("f32", 16, 2))).toBeUndefined();
  });

  it("refuses shapes that do not fit, with both numbers", () => {
    const f32 = (shape: number[]) => ({ shape, dtype: "f32" as const });
    expect(() => layerNorm.output({ x: f32([4, 320]), weight: f32([320]), bias: f32([640]) }, { eps: 1e-5 })).toThrow(
      "bias f32[640], x f32[4, 320] wants f32[320]",
    );
    expect(() => layerNorm.output({ x: f32([4, 0]), weight: f32([0]), bias: f32([0]) }, { eps: 1e-5 })).toThrow(
      "rows of 0",
    );
  });
});
