import { describe, expect, it } from "vitest";
import { concat } from "../../src/kernels/concat.ts";
import * as reference from "../reference/pointwise.ts";
import { checkOp, closeAfterTests, floatDtypes } from "../support/op.ts";
import { random } from "../support/tensor.ts";

closeAfterTests();

const cases = [
  { name: "control", a: [2, 8, 8, 32], b: [2, 8, 8, 16] },
  { name: "size 1", a: [1], b: [1] },
  { name: "divides nothing", a: [3, 33, 31, 7], b: [3, 33, 31, 5] },
  { name: "only the sum divides by 4", a: [5, 6], b: [5, 2] },
  { name: "only one divides by 4", a: [5, 8], b: [5, 3] },
];

describe("concat", async () => {
  for (const dtype of await floatDtypes()) {
    it.each(cases)(`${dtype} a$a b$b $name`, async ({ a, b }) => {
      const [ta, tb] = [random(a, dtype, 1), random(b, dtype, 2)];
      await checkOp(concat, { a: ta, b: tb }, {}, reference.concat(ta.data, a.at(-1)!, tb.data, b.at(-1)!), () => 0);
    });
  }

  it("refuses other rows, with both shapes", () => {
    const [a, b] = [{ shape: [2, 3, 8], dtype: "f32" } as const, { shape: [2, 4, 8], dtype: "f32" } as const];
    expect(() => concat.output({ a, b }, {})).toThrow(
      "a f32[2, 3, 8] and b f32[2, 4, 8] differ in more than their channels",
    );
    expect(() => concat.output({ a, b: { ...a, dtype: "f16" } }, {})).toThrow("b f16[2, 3, 8]");
  });
});
