import { describe, expect, it } from "vitest";
import { groupNormStats } from "../../src/kernels/group-norm-stats.ts";
import { groupNormStats as reference } from "../reference/norm-attention.ts";
import { checkOp, closeAfterTests, featureNames, floatDtypes, kernelFeatures } from "../support/op.ts";
import { random, tensor } from "../support/tensor.ts";
import { unitRoundoff } from "../support/tolerance.ts";

closeAfterTests();

interface Case {
  readonly name: string;
  readonly x: readonly number[];
  readonly groups: number;
  /** Applied to values in [-1, 1]. */
  readonly value?: (v: number, i: number) => number;
  readonly eps?: number;
}

const cases: Case[] = [
  { name: "control", x: [2, 8, 8, 32], groups: 8 },
  { name: "one channel a group", x: [1, 5, 7, 8], groups: 8 },
  { name: "2 channels a group", x: [1, 5, 7, 16], groups: 8 },
  { name: "10 channels a group", x: [2, 9, 7, 320], groups: 32 },
  { name: "30 channels a group", x: [1, 5, 3, 960], groups: 32 },
  { name: "one group, wider than a workgroup", x: [1, 2, 2, 1280], groups: 1 },
  { name: "divides nothing", x: [3, 33, 31, 21], groups: 3 },
  { name: "size 1", x: [1, 1, 1, 1], groups: 1, eps: 1e-5 },
  { name: "tokens", x: [2, 77, 24], groups: 2 },
  { name: "constant input", x: [1, 9, 9, 16], groups: 2, value: () => 3 },
  { name: "first element far out", x: [1, 16, 16, 16], groups: 2, value: (v, i) => (i === 0 ? 40 : v) },
  { name: "large eps", x: [1, 8, 8, 16], groups: 2, eps: 0.5 },
];

/** In units of a group's standard deviation the merged sums err by a few u (Welford rounds by u·|mean − x₀| at each of its steps, at random);
 *  the mean itself and 1/√ round once or twice more, relative to their size. */
const bound = (expected: number) => unitRoundoff.f32 * (4 * Math.abs(expected) + 32);

describe("group-norm-stats", async () => {
  const variants = await kernelFeatures();
  for (const dtype of await floatDtypes()) {
    for (const features of variants)
      it.each(cases)(`${dtype} ${featureNames(features)} $name`, async ({ x, groups, value, eps = 1e-6 }) => {
        const raw = random(x, dtype);
        const tx = value ? tensor(x, dtype, raw.data.map(value)) : raw;
        const shape = [x[0]!, raw.data.length / x[0]! / x.at(-1)!, x.at(-1)!] as const;
        await checkOp(
          groupNormStats,
          { x: tx },
          { groups, eps },
          reference(tx.data, shape, groups, eps),
          bound,
          features,
        );
      });
  }

  const far = [
    { name: "4 channels a group", C: 8, groups: 2 },
    { name: "3 channels a group", C: 6, groups: 2 },
  ].flatMap((c) => variants.map((features) => ({ ...c, features, with: featureNames(features) })));
  it.each(far)(
    "f32 $with 512×64 pixels with a mean of 1000 standard deviations, $name",
    async ({ C, groups, features }) => {
      const x = [1, 512, 64, C];
      const raw = random(x, "f32");
      const tx = tensor(
        x,
        "f32",
        raw.data.map((v) => 1000 + v * Math.sqrt(3)),
      );
      await checkOp(
        groupNormStats,
        { x: tx },
        { groups, eps: 1e-6 },
        reference(tx.data, [1, 512 * 64, C], groups, 1e-6),
        // x − x₀ is exact: a mean errs by its one rounding only.
        (e) => (e > 100 ? unitRoundoff.f32 * (1.01 * e + 32) : bound(e)),
        features,
      );
    },
  );

  it("refuses groups that do not divide the channels, with both numbers", () => {
    const x = { shape: [1, 4, 4, 30], dtype: "f32" as const };
    expect(() => groupNormStats.output({ x }, { groups: 32, eps: 1e-6 })).toThrow("32 groups do not divide the 30");
    expect(() => groupNormStats.output({ x: { ...x, shape: [4, 30] } }, { groups: 2, eps: 1e-6 })).toThrow("rank 2");
  });
});
