import { describe, expect, it } from "vitest";
import { add } from "../../src/kernels/add.ts";
import * as reference from "../reference.ts";
import { checkOp, closeAfterTests, floatDtypes } from "../support/op.ts";
import { random } from "../support/tensor.ts";
import { tolerance } from "../support/tolerance.ts";

closeAfterTests();

const cases = [
  { name: "control", a: [2, 8, 8, 32], b: [2, 8, 8, 32] },
  { name: "size 1", a: [1], b: [1] },
  { name: "divides nothing", a: [3, 33, 31, 7], b: [3, 33, 31, 7] },
  { name: "scaled", a: [5, 7], b: [5, 7], scale: -1.5 },
  { name: "b repeats over the leading dimensions", a: [2, 77, 33], b: [77, 33] },
];

describe("add", async () => {
  for (const dtype of await floatDtypes()) {
    it.each(cases)(`${dtype} $name`, async ({ a, b, scale }) => {
      const [ta, tb] = [random(a, dtype, 1), random(b, dtype, 2)];
      await checkOp(
        add,
        { a: ta, b: tb },
        scale === undefined ? {} : { scale },
        reference.add(ta.data, tb.data, scale),
        tolerance(dtype, 2, 2),
      );
    });
  }

  it("refuses shapes that do not fit, with both", () => {
    const f32 = (shape: number[]) => ({ shape, dtype: "f32" as const });
    expect(() => add.output({ a: f32([2, 3]), b: f32([2]) }, {})).toThrow("b f32[2] is not the tail of a f32[2, 3]");
  });
});
