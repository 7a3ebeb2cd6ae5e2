import { describe, expect, it } from "vitest";
import { upsampleNearest } from "../../src/kernels/upsample-nearest.ts";
import * as reference from "../reference/pointwise.ts";
import { checkOp, closeAfterTests, floatDtypes } from "../support/op.ts";
import { random } from "../support/tensor.ts";

closeAfterTests();

const cases: { name: string; x: [number, number, number, number] }[] = [
  { name: "control", x: [2, 8, 8, 32] },
  { name: "size 1", x: [1, 1, 1, 1] },
  { name: "divides nothing", x: [3, 33, 31, 7] },
  { name: "wide rows", x: [1, 2, 65, 4] },
];

describe("upsample-nearest", async () => {
  for (const dtype of await floatDtypes()) {
    it.each(cases)(`${dtype} x$x $name`, async ({ x: shape }) => {
      const x = random(shape, dtype);
      await checkOp(upsampleNearest, { x }, {}, reference.upsampleNearest(x.data, shape), () => 0);
    });
  }

  it("refuses what is no feature map", () => {
    expect(() => upsampleNearest.output({ x: { shape: [2, 7, 4], dtype: "f32" } }, {})).toThrow(
      "x f32[2, 7, 4] has 3 dimensions, a feature map 4",
    );
  });
});
