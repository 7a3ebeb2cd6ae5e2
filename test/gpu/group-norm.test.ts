import { describe, expect, it } from "vitest";
import { groupNorm } from "../../src/kernels/group-norm.ts";
import { groupNormStats } from "../../src/kernels/group-norm-stats.ts";
import { activations, type Activation } from "../../src/kernels/kernel.ts";
import * as reference from "../reference/norm-attention.ts";
import { checkOp, closeAfterTests, floatDtypes } from "../support/op.ts";
import { random, tensor } from "../support/tensor.ts";
import { tolerance } from "../support/tolerance.ts";

closeAfterTests();

const activate: Record<Activation, (x: number) => number> = {
  none: (x) => x,
  silu: (x) => x / (1 + Math.exp(-x)),
  gelu: (x) => x * normalCdf(x),
  quickGelu: (x) => x / (1 + Math.exp(-1.702 * x)),
  relu: (x) => Math.max(x, 0),
  softClip: (x) => 3 * Math.tanh(x / 3),
};

/** Φ(x) = ½ + φ(x)·(x + x³/3 + x⁵/(3·5) + …): the series of all positive terms, exact to rounding for the |x| < 6 of these tests. */
function normalCdf(x: number): number {
  let term = x;
  let sum = x;
  for (let k = 3; Math.abs(term) > 1e-17 * Math.abs(sum); k += 2) sum += term *= (x * x) / k;
  return 0.5 + (sum * Math.exp((-x * x) / 2)) / Math.sqrt(2 * Math.PI);
}

interface Case {
  readonly name: string;
  readonly x: readonly number[];
  readonly groups: number;
  readonly activation?: Activation;
}

const cases: Case[] = [
  { name: "control", x: [2, 8, 8, 32], groups: 8 },
  { name: "10 channels a group", x: [2, 9, 7, 320], groups: 32 },
  { name: "30 channels a group", x: [1, 5, 3, 960], groups: 32 },
  { name: "odd channels", x: [3, 33, 31, 21], groups: 3 },
  { name: "odd channels, silu", x: [1, 5, 7, 21], groups: 7, activation: "silu" },
  { name: "size 1", x: [1, 1, 1, 1], groups: 1 },
  { name: "tokens", x: [2, 77, 24], groups: 2 },
  ...activations.slice(1).map((activation) => ({ name: activation, x: [1, 6, 5, 32], groups: 4, activation })),
];

describe("group-norm", async () => {
  for (const dtype of await floatDtypes()) {
    // The activations' arithmetic is f32 in both: each is a pipeline to compile, so f16 has one of them.
    const chosen = dtype === "f32" ? cases : cases.filter((c) => ["none", "silu"].includes(c.activation ?? "none"));
    it.each(chosen)(`${dtype} $name`, async ({ x, groups, activation = "none" }) => {
      const [N, C] = [x[0]!, x.at(-1)!];
      const tx = random(x, dtype, 1);
      const weight = random([C], "f32", 2);
      const bias = random([C], "f32", 3);
      const raw = random([N, groups, 2], "f32", 4);
      // Means in [-1, 1], 1/σ in [0.5, 2.5]
      const stats = tensor(
        raw.shape,
        "f32",
        raw.data.map((v, i) => (i % 2 === 0 ? v : v + 1.5)),
      );
      const P = tx.data.length / N / C;
      const expected = reference.groupNorm(tx.data, stats.data, weight.data, bias.data, [N, P, C], groups);
      await checkOp(
        groupNorm,
        { x: tx, stats, weight, bias },
        activation === "none" ? { groups } : { groups, activation },
        expected.map(activate[activation]),
        // Four roundings of values up to 6, and erf's own 1.5e-7 (times x/2) in GELU
        activation === "gelu" ? (e) => tolerance(dtype, 4, 6)(e) + 5e-7 : tolerance(dtype, 4, 6),
      );
    });
  }

  it("f32 keeps its digits where the mean is 1000 standard deviations", async () => {
    const shape = [1, 16, 16, 8];
    const raw = random(shape);
    const x = tensor(
      shape,
      "f32",
      raw.data.map((v) => 1000 + v),
    );
    const stats = tensor([1, 2, 2], "f32", [1000, 1.75, 1000.001, 1.75]);
    const [weight, bias] = [random([8], "f32", 2), random([8], "f32", 3)];
    const expected = reference.groupNorm(x.data, stats.data, weight.data, bias.data, [1, 256, 8], 2);
    // The difference of neighbours is exact: the bound knows nothing of the 1000.
    await checkOp(groupNorm, { x, stats, weight, bias }, { groups: 2 }, expected, tolerance("f32", 4, 3));
  });

  it("refuses shapes that do not fit, with both numbers", () => {
    const f32 = (shape: number[]) => ({ shape, dtype: "f32" as const });
    const good = { x: f32([2, 4, 4, 32]), stats: f32([2, 8, 2]), weight: f32([32]), bias: f32([32]) };
    expect(groupNorm.output(good, { groups: 8 })).toEqual(good.x);
    expect(() => groupNorm.output({ ...good, stats: f32([1, 8, 2]) }, { groups: 8 })).toThrow(
      "stats f32[1, 8, 2], x f32[2, 4, 4, 32] in 8 groups wants f32[2, 8, 2]",
    );
    expect(() => groupNorm.output({ ...good, bias: f32([31]) }, { groups: 8 })).toThrow(
      "bias f32[31], x f32[2, 4, 4, 32] wants f32[32]",
    );
    expect(groupNormStats.output(good, { groups: 8, eps: 1e-6 })).toEqual(good.stats);
  });
});
