import { describe, expect, it } from "vitest";
import { geglu } from "../../src/kernels/geglu.ts";
import * as reference from "../reference/pointwise.ts";
import { checkOp, closeAfterTests, floatDtypes } from "../support/op.ts";
import { random, tensor } from "../support/tensor.ts";
import { tolerance } from "../support/tolerance.ts";

closeAfterTests();

const cases = [
  { name: "control", x: [2, 64, 2 * 128] },
  { name: "size 1", x: [2] },
  { name: "divides nothing", x: [3, 33, 2 * 31] },
  { name: "one row", x: [2 * 12] },
  { name: "half a width of two", x: [5, 2 * 2] },
];

describe("geglu", async () => {
  for (const dtype of await floatDtypes()) {
    it.each(cases)(`${dtype} x$x $name`, async ({ x: shape }) => {
      const unit = random(shape, dtype);
      const x = tensor(
        shape,
        dtype,
        unit.data.map((v) => 4 * v),
      ); // so that the gate bends
      // Value (up to 4) times a gate with a few units of error, see activation.test.ts; one more rounding.
      await checkOp(geglu, { x }, {}, reference.geglu(x.data, shape.at(-1)! / 2), tolerance(dtype, 8, 4));
    });
  }

  it("refuses an odd width", () => {
    expect(() => geglu.output({ x: { shape: [2, 7], dtype: "f32" } }, {})).toThrow(
      "x f32[2, 7] has 7 channels, which do not make 2 equal halves",
    );
  });
});
