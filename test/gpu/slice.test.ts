import { describe, expect, it } from "vitest";
import { slice } from "../../src/kernels/slice.ts";
import * as reference from "../reference/pointwise.ts";
import { checkOp, closeAfterTests, floatDtypes } from "../support/op.ts";
import { random } from "../support/tensor.ts";

closeAfterTests();

const cases = [
  { name: "control", x: [2, 8, 8, 8], from: 0, to: 4 },
  { name: "size 1", x: [1], from: 0, to: 1 },
  { name: "divides nothing", x: [3, 33, 31, 7], from: 2, to: 5 },
  { name: "begins between fours", x: [5, 16], from: 2, to: 6 },
  { name: "ends between fours", x: [5, 16], from: 4, to: 7 },
  { name: "the last channels", x: [5, 12], from: 8, to: 12 },
];

describe("slice", async () => {
  for (const dtype of await floatDtypes()) {
    it.each(cases)(`${dtype} x$x $from to $to $name`, async ({ x: shape, from, to }) => {
      const x = random(shape, dtype);
      await checkOp(slice, { x }, { from, to }, reference.slice(x.data, shape.at(-1)!, from, to), () => 0);
    });
  }

  it.each([
    [0, 9],
    [-1, 4],
    [4, 4],
    [0.5, 4],
  ])("refuses channels %d to %d of 8", (from, to) => {
    const x = { shape: [2, 8], dtype: "f32" } as const;
    expect(() => slice.output({ x }, { from, to })).toThrow(`channels ${from} to ${to} of x f32[2, 8], which has 8`);
  });
});
