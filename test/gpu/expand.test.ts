import { describe, expect, it } from "vitest";
import { expand } from "../../src/kernels/expand.ts";
import * as reference from "../reference/pointwise.ts";
import { checkOp, closeAfterTests, floatDtypes } from "../support/op.ts";
import { random } from "../support/tensor.ts";
import { tolerance } from "../support/tolerance.ts";

closeAfterTests();

const cases = [
  { name: "control", x: [2, 8, 8, 4], times: 2 },
  { name: "size 1", x: [1], times: 1 },
  { name: "divides nothing", x: [1, 33, 31, 7], times: 3 },
  { name: "scaled", x: [2, 6], times: 2, scale: 1 / 0.18215 },
  { name: "shifted", x: [3, 5], times: 2, scale: 0.5, shift: 0.5 },
];

describe("expand", async () => {
  const dtypes = await floatDtypes();
  for (const from of dtypes) {
    for (const dtype of dtypes) {
      it.each(cases)(`${from} → ${dtype} x$x $name`, async ({ x: shape, times, scale, shift }) => {
        const x = random(shape, from);
        const affine = { ...(scale === undefined ? {} : { scale }), ...(shift === undefined ? {} : { shift }) };
        const expected = reference.expand(x.data, times, scale, shift);
        // Nothing but a cast: exact unless it narrows.
        const exact = scale === undefined && !(from === "f32" && dtype === "f16");
        await checkOp(
          expand,
          { x },
          { times, dtype, ...affine },
          expected,
          exact ? () => 0 : tolerance(dtype, 1, scale),
        );
      });
    }
  }

  it.each([0, -1, 1.5])("refuses %d times", (times) => {
    const x = { shape: [2, 3], dtype: "f32" } as const;
    expect(() => expand.output({ x }, { times, dtype: "f32" })).toThrow(
      `x f32[2, 3] cannot be repeated ${times} times`,
    );
  });
});
