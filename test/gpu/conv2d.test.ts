import { describe, expect, it } from "vitest";
import { conv2d } from "../../src/kernels/conv2d.ts";
import type { Activation } from "../../src/kernels/kernel.ts";
import type { Dtype, Shape } from "../../src/tensor.ts";
import * as reference from "../reference.ts";
import { testGpu } from "../support/adapter.ts";
import { mismatch } from "../support/mismatch.ts";
import { checkOp, closeAfterTests, floatDtypes, runLaunch } from "../support/op.ts";
import { random, tensor } from "../support/tensor.ts";
import { tolerance } from "../support/tolerance.ts";

closeAfterTests();

interface Case {
  readonly name: string;
  /** N, H, W, C */
  readonly x: readonly [number, number, number, number];
  /** KH, KW, C, O */
  readonly weight: readonly [number, number, number, number];
  readonly stride?: 1 | 2;
  readonly padding?: number | readonly [number, number, number, number];
  readonly activation?: Activation;
  readonly bias?: boolean;
  /** Rows of the addend. */
  readonly addend?: number;
  readonly residual?: boolean;
  /** Which shader should be chosen; default conv2d. */
  readonly shader?: string;
}

const cases: Case[] = [
  { name: "control", x: [2, 9, 12, 20], weight: [3, 3, 20, 64], padding: 1, bias: true },
  { name: "s2", x: [2, 9, 12, 20], weight: [3, 3, 20, 64], padding: 1, bias: true, stride: 2 },
  {
    name: "s2, padded below and right only",
    x: [2, 8, 12, 20],
    weight: [3, 3, 20, 64],
    padding: [0, 0, 1, 1],
    stride: 2,
  },
  { name: "unpadded", x: [2, 9, 12, 20], weight: [3, 3, 20, 64], bias: true },
  { name: "padding on each side differs", x: [1, 5, 6, 8], weight: [3, 2, 8, 64], padding: [2, 1, 0, 3] },
  { name: "+silu", x: [2, 9, 12, 20], weight: [3, 3, 20, 64], padding: 1, bias: true, activation: "silu" },
  {
    name: "+addend per picture +residual",
    x: [2, 9, 12, 20],
    weight: [3, 3, 20, 64],
    padding: 1,
    bias: true,
    addend: 2,
    residual: true,
  },
  {
    name: "+addend for all +gelu",
    x: [2, 9, 12, 20],
    weight: [3, 3, 20, 64],
    padding: 1,
    addend: 1,
    activation: "gelu",
  },
  { name: "33×31, eight pixels a thread", x: [1, 33, 31, 4], weight: [3, 3, 4, 132], padding: 1, bias: true },
  { name: "32×32, eight pixels a thread", x: [1, 32, 32, 4], weight: [3, 3, 4, 132], padding: 1, bias: true },
  { name: "four output channels", x: [1, 33, 31, 8], weight: [3, 3, 8, 4], padding: 1, bias: true },
  { name: "a column of pixels", x: [2, 17, 1, 8], weight: [3, 3, 8, 64], padding: 1 },
  { name: "two pixels wide", x: [2, 5, 2, 8], weight: [3, 3, 8, 64], padding: 1 },
  { name: "1x1 is a product", x: [2, 5, 7, 8], weight: [1, 1, 8, 16], bias: true, residual: true, shader: "matmul" },
  { name: "1x1 s2", x: [2, 5, 7, 8], weight: [1, 1, 8, 64], stride: 2 },
  { name: "1x1 +addend", x: [2, 5, 7, 8], weight: [1, 1, 8, 64], addend: 2 },
  { name: "1x1 padded", x: [2, 5, 7, 8], weight: [1, 1, 8, 64], padding: 1, bias: true },
  { name: "any: size 1", x: [1, 1, 1, 1], weight: [3, 3, 1, 1], padding: 1, shader: "conv2d-any" },
  { name: "any: RGB in", x: [2, 33, 31, 3], weight: [3, 3, 3, 16], padding: 1, bias: true, shader: "conv2d-any" },
  {
    name: "any: RGB out",
    x: [2, 9, 8, 12],
    weight: [3, 3, 12, 3],
    padding: 1,
    activation: "softClip",
    shader: "conv2d-any",
  },
  {
    name: "any: s2, odd channels, epilogue",
    x: [2, 9, 8, 5],
    weight: [3, 3, 5, 7],
    stride: 2,
    padding: 1,
    bias: true,
    addend: 2,
    residual: true,
    activation: "silu",
    shader: "conv2d-any",
  },
  {
    name: "any: addend for all",
    x: [2, 4, 4, 5],
    weight: [3, 3, 5, 7],
    padding: [0, 0, 1, 1],
    addend: 1,
    shader: "conv2d-any",
  },
  { name: "any: 1x1 is a product", x: [2, 5, 7, 3], weight: [1, 1, 3, 5], bias: true, shader: "matmul-any" },
];

function setUp(c: Case, dtype: "f32" | "f16", weightDtype: "f32" | "f16") {
  const [N, H, W, C] = c.x;
  const [KH, KW, , O] = c.weight;
  const attributes = {
    ...(c.stride && { stride: c.stride }),
    ...(c.padding !== undefined && { padding: c.padding }),
    ...(c.activation && { activation: c.activation }),
  };
  const [x, weight] = [random(c.x, dtype, 1), random(c.weight, weightDtype, 2)];
  const y = conv2d.output({ x, weight }, attributes);
  const bias = c.bias ? random([O], "f32", 3) : undefined;
  const addend = c.addend ? random([c.addend, O], dtype, 4) : undefined;
  const residual = c.residual ? random(y.shape, dtype, 5) : undefined;
  const p = c.padding ?? 0;
  const padding = typeof p === "number" ? ([p, p, p, p] as const) : p;
  const expected = reference.conv2d(
    x.data,
    weight.data,
    { N, H, W, C, KH, KW, O },
    { ...attributes, padding, bias: bias?.data, addend: addend?.data, residual: residual?.data },
  );
  return { inputs: { x, weight, bias, addend, residual }, attributes, expected, bound: tolerance(dtype, KH * KW * C) };
}

async function run(c: Case, dtype: "f32" | "f16", weightDtype: "f32" | "f16"): Promise<void> {
  const { inputs, attributes, expected, bound } = setUp(c, dtype, weightDtype);
  const { launch } = await checkOp(conv2d, inputs, attributes, expected, bound);
  expect(launch.contract.name).toBe(c.shader ?? "conv2d");
}

describe("conv2d", async () => {
  for (const dtype of await floatDtypes()) {
    it.each(cases)(`${dtype} $name`, (c) => run(c, dtype, dtype));
  }

  const mixed = cases.filter(({ name }) => /^control|RGB/.test(name));
  it.each(mixed)("f32 over packed f16 weights $name", (c) => run(c, "f32", "f16"));

  // A thread's tile that hangs over the right edge, or over the last line, must not let its neighbour's infinity in through a product with zero.
  it.each([
    { name: "conv2d", O: 64 },
    { name: "conv2d-any", O: 3 },
  ])("$name: padding is exactly zero beside infinities", async ({ O }) => {
    const [H, W, C] = [3, 9, 4];
    const x = random([1, H, W, C], "f32", 1);
    const data = x.data.slice();
    for (let c = 0; c < C; c++) data[(1 * W + 8) * C + c] = Infinity;
    const inputs = { x: tensor(x.shape, "f32", data), weight: random([3, 3, C, O], "f32", 2) };
    const expected = reference.conv2d(
      inputs.x.data,
      inputs.weight.data,
      { N: 1, H, W, C, KH: 3, KW: 3, O },
      { padding: [1, 1, 1, 1] },
    );
    expect(expected.filter((v) => !Number.isFinite(v)).length).toBe(6 * O); // the pixel's own neighbourhood, and no more
    await checkOp(
      conv2d,
      { ...inputs, bias: undefined, addend: undefined, residual: undefined },
      { padding: 1 },
      expected,
      tolerance("f32", 9 * C),
    );
  });

  // More than 65,535 tiles take gigabytes: the same grid folded by hand, one workgroup too many at its end.
  it.each([
    { name: "conv2d", O: 64 },
    { name: "conv2d-any", O: 3 },
  ])("$name: tiles over two grid dimensions", async ({ name, O }) => {
    const [x, weight] = [random([2, 33, 31, 4], "f32", 1), random([3, 3, 4, O], "f32", 2)];
    const attributes = { padding: 1 };
    const y = conv2d.output({ x, weight }, attributes);
    const launch = conv2d.launch({ x, weight }, y, attributes);
    const [columns, tiles] = launch.workgroups;
    const gridY = Math.ceil((tiles + 1) / 2);
    const folded = {
      ...launch,
      params: { ...launch.params, gridY },
      workgroups: [columns, gridY, 2] as [number, number, number],
    };
    const result = await runLaunch(await testGpu(), folded, { x, weight }, { y });
    const expected = reference.conv2d(
      x.data,
      weight.data,
      { N: 2, H: 33, W: 31, C: 4, KH: 3, KW: 3, O },
      { padding: [1, 1, 1, 1] },
    );
    expect(mismatch("y", y.shape, result["y"]!, expected, tolerance("f32", 36))).toBeUndefined();
    expect(launch.contract.name).toBe(name);
  });

  const spec = (shape: Shape, dtype: Dtype = "f32") => ({ shape, dtype });
  const [x, weight] = [spec([2, 8, 8, 16]), spec([3, 3, 16, 8])];
  const refused: [string, () => unknown, string][] = [
    [
      "channels",
      () => conv2d.output({ x, weight: spec([3, 3, 32, 8]) }, {}),
      "weight f32[3, 3, 32, 8] wants 32 input channels, x is f32[2, 8, 8, 16]",
    ],
    [
      "rank",
      () => conv2d.output({ x: spec([8, 8, 16]), weight }, {}),
      "x f32[8, 8, 16] should be [N, H, W, C] and weight f32[3, 3, 16, 8] [KH, KW, C, O]",
    ],
    [
      "map size",
      () => conv2d.output({ x: spec([1, 2, 2, 16]), weight }, {}),
      "x f32[1, 2, 2, 16] with its padding is smaller than the kernel of weight f32[3, 3, 16, 8]",
    ],
    [
      "addend",
      () => conv2d.output({ x, weight, addend: spec([3, 8]) }, {}),
      "addend f32[3, 8] should be f32[1 or 2, 8]",
    ],
    [
      "addend dtype",
      () => conv2d.output({ x, weight, addend: spec([2, 8], "f16") }, {}),
      "addend f16[2, 8] should be f32[1 or 2, 8]",
    ],
    ["bias", () => conv2d.output({ x, weight, bias: spec([9]) }, {}), "bias f32[9] should be f32[8]"],
    [
      "residual",
      () => conv2d.output({ x, weight, residual: spec([2, 8, 8, 8]) }, {}),
      "residual f32[2, 8, 8, 8] is not like y f32[2, 6, 6, 8]",
    ],
    ["padding", () => conv2d.output({ x, weight }, { padding: [0, -1, 0, 0] }), "padding 0, -1, 0, 0 is negative"],
  ];
  it.each(refused)("refuses a wrong %s, with both", (_, call, message) => {
    expect(call).toThrow(message);
  });
});
