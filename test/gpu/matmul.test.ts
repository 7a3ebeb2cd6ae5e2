import { describe, expect, it } from "vitest";
import type { Activation } from "../../src/kernels/kernel.ts";
import { matmul } from "../../src/kernels/matmul.ts";
import { tileGrid } from "../../src/kernels/tile.ts";
import { elementCount, type Dtype, type Shape } from "../../src/tensor.ts";
import * as reference from "../reference.ts";
import { testGpu } from "../support/adapter.ts";
import { checkOp, closeAfterTests, floatDtypes, runLaunch } from "../support/op.ts";
import { mismatch } from "../support/mismatch.ts";
import { random } from "../support/tensor.ts";
import { tolerance } from "../support/tolerance.ts";

closeAfterTests();

interface Case {
  readonly name: string;
  readonly x: Shape;
  readonly weight: Shape;
  readonly bias?: boolean;
  readonly residual?: boolean;
  readonly activation?: Activation;
  readonly transposeB?: boolean;
  /** Which shader should be chosen. */
  readonly any?: boolean;
}

const cases: Case[] = [
  { name: "control", x: [2, 40, 64], weight: [64, 48], bias: true },
  { name: "+residual", x: [2, 40, 64], weight: [64, 48], bias: true, residual: true },
  { name: "+silu", x: [2, 40, 64], weight: [64, 48], bias: true, activation: "silu" },
  { name: "+gelu +residual, no bias", x: [2, 40, 64], weight: [64, 48], residual: true, activation: "gelu" },
  { name: "one row", x: [1, 320], weight: [320, 1280], bias: true },
  { name: "two rows", x: [2, 320], weight: [320, 80], bias: true },
  { name: "a vector", x: [320], weight: [320, 80] },
  { name: "three rows", x: [3, 64], weight: [64, 80] },
  { name: "eight rows a thread, edges in both directions", x: [1030, 64], weight: [64, 324], bias: true },
  { name: "four columns", x: [77, 64], weight: [64, 4] },
  { name: "batched", x: [3, 10, 24], weight: [3, 24, 20] },
  { name: "batched over two dimensions", x: [2, 3, 10, 24], weight: [2, 3, 24, 20] },
  { name: "transposed", x: [33, 24], weight: [20, 24], transposeB: true, bias: true },
  { name: "batched transposed", x: [3, 33, 40], weight: [3, 36, 40], transposeB: true },
  { name: "any: size 1", x: [1, 1], weight: [1, 1], any: true },
  { name: "any: divides nothing", x: [3, 11, 31], weight: [31, 33], bias: true, any: true },
  { name: "any: +relu +residual", x: [3, 11, 31], weight: [31, 33], residual: true, activation: "relu", any: true },
  { name: "any: 77 keys, transposed", x: [2, 9, 40], weight: [2, 77, 40], transposeB: true, any: true },
  { name: "any: 77 keys", x: [2, 9, 77], weight: [2, 77, 40], any: true },
];

async function run(c: Case, dtype: "f32" | "f16", weightDtype: "f32" | "f16"): Promise<void> {
  const [x, weight] = [random(c.x, dtype, 1), random(c.weight, weightDtype, 2)];
  const [M, K] = [c.x.at(-2) ?? 1, c.x.at(-1)!];
  const N = c.transposeB ? c.weight.at(-2)! : c.weight.at(-1)!;
  const B = elementCount(c.x) / M / K;
  const yShape = [...c.x.slice(0, -1), N];
  const bias = c.bias ? random([N], "f32", 3) : undefined;
  const residual = c.residual ? random(yShape, dtype, 4) : undefined;
  const { activation, transposeB } = c;
  const expected = reference.matmul(
    x.data,
    weight.data,
    { B, M, K, N },
    { bias: bias?.data, residual: residual?.data, activation, transposeB, sharedWeight: c.weight.length === 2 },
  );
  const attributes = { ...(activation && { activation }), ...(transposeB !== undefined && { transposeB }) };
  const bound = tolerance(dtype, K, 1);
  const { launch } = await checkOp(matmul, { x, weight, bias, residual }, attributes, expected, bound);
  expect(launch.contract.name).toBe(c.any ? "matmul-any" : "matmul");
}

describe("matmul", async () => {
  for (const dtype of await floatDtypes()) {
    it.each(cases)(`${dtype} $name`, (c) => run(c, dtype, dtype));
  }

  const mixed = cases.filter(({ name }) => /^control|^transposed|divides nothing|any: 77 keys/.test(name));
  it.each(mixed)("f32 over packed f16 weights $name", (c) => run(c, "f32", "f16"));

  // More than 65,535 tiles take gigabytes: the same grid folded by hand, one workgroup too many at its end.
  it.each([
    { name: "matmul", N: 64 },
    { name: "matmul-any", N: 33 },
  ])("$name: tiles over two grid dimensions", async ({ name, N }) => {
    const [x, weight] = [random([700, 16], "f32", 1), random([16, N], "f32", 2)];
    const y = matmul.output({ x, weight }, {});
    const launch = matmul.launch({ x, weight }, y, {});
    const [columns, tiles] = launch.workgroups;
    const gridY = Math.ceil((tiles + 1) / 2);
    const folded = {
      ...launch,
      params: { ...launch.params, gridY },
      workgroups: [columns, gridY, 2] as [number, number, number],
    };
    const result = await runLaunch(await testGpu(), folded, { x, weight }, { y });
    const expected = reference.matmul(x.data, weight.data, { M: 700, K: 16, N });
    expect(mismatch("y", y.shape, result["y"]!, expected, tolerance("f32", 16))).toBeUndefined();
    expect(launch.contract.name).toBe(name);
  });

  it("folds grids that are too long, without losing a tile", () => {
    expect(tileGrid(3, 65_535)).toEqual([3, 65_535, 1]);
    expect(tileGrid(3, 65_536)).toEqual([3, 32_768, 2]);
    expect(tileGrid(3, 200_001)).toEqual([3, 50_001, 4]);
  });

  const spec = (shape: number[], dtype: Dtype = "f32") => ({ shape, dtype });
  const refused: [string, () => unknown, string][] = [
    [
      "inner dimension",
      () => matmul.output({ x: spec([5, 64]), weight: spec([32, 8]) }, {}),
      "weight f32[32, 8] wants 32 inputs, x is f32[5, 64]",
    ],
    [
      "inner dimension, transposed",
      () => matmul.output({ x: spec([5, 8]), weight: spec([8, 32]) }, { transposeB: true }),
      "weight f32[8, 32] wants 32 inputs, x is f32[5, 8]",
    ],
    [
      "batches",
      () => matmul.output({ x: spec([2, 5, 64]), weight: spec([3, 64, 8]) }, {}),
      "weight f32[3, 64, 8] wants 3 batches, x f32[2, 5, 64] has 2",
    ],
    [
      "bias size",
      () => matmul.output({ x: spec([5, 64]), weight: spec([64, 8]), bias: spec([9]) }, {}),
      "bias f32[9] should be f32[8]",
    ],
    [
      "bias dtype",
      () => matmul.output({ x: spec([5, 64]), weight: spec([64, 8]), bias: spec([8], "f16") }, {}),
      "bias f16[8] should be f32[8]",
    ],
    [
      "residual",
      () => matmul.output({ x: spec([5, 64]), weight: spec([64, 8]), residual: spec([4, 8]) }, {}),
      "residual f32[4, 8] is not like y f32[5, 8]",
    ],
    [
      "rank",
      () => matmul.output({ x: spec([64]), weight: spec([64]) }, {}),
      "weight f32[64] and x f32[64] have too few dimensions",
    ],
  ];
  it.each(refused)("refuses a wrong %s, with both", (_, call, message) => {
    expect(call).toThrow(message);
  });
});
