import { describe, expect, it } from "vitest";
import { rgba } from "../../src/kernels/rgba.ts";
import * as reference from "../reference/pointwise.ts";
import { checkOp, closeAfterTests, floatDtypes } from "../support/op.ts";
import { random, tensor } from "../support/tensor.ts";

closeAfterTests();

const cases = [
  { name: "control", x: [2, 8, 8, 3] },
  { name: "size 1", x: [1, 1, 1, 3] },
  { name: "divides nothing", x: [3, 33, 31, 3] },
  { name: "from [0, 1]", x: [1, 5, 7, 3], scale: 1, shift: 0 },
];

describe("rgba", async () => {
  for (const dtype of await floatDtypes()) {
    it.each(cases)(`${dtype} x$x $name`, async ({ x: shape, scale, shift }) => {
      const x = tensor(
        shape,
        dtype,
        random(shape, dtype).data.map((v) => 1.2 * v),
      ); // clamps at both ends
      const attributes = scale === undefined ? {} : { scale, shift };
      await checkOp(rgba, { x }, attributes, reference.rgba(x.data, scale, shift), () => 0);
    });

    it(`${dtype} every byte in every channel, a half to even, infinities to the ends, NaN to 0`, async () => {
      const bytes = Array.from({ length: 256 }, (_, k) => k / 127.5 - 1);
      const odd = [0, Infinity, -Infinity, NaN, 0, 0, 0, NaN, 0, 0, 0, NaN];
      const values = [...bytes.flatMap((v, k) => [v, bytes[255 - k]!, bytes[(k * 7) % 256]!]), ...odd];
      const x = tensor([1, 1, values.length / 3, 3], dtype, values);
      const { y } = await checkOp(rgba, { x }, {}, reference.rgba(x.data), () => 0);
      expect([...y.subarray(256)].map((v) => v.toString(16))).toEqual(["ff00ff80", "0", "0", "0"]);
      expect([y[3], y[200]].map((v) => v!.toString(16))).toEqual(["ff15fc03", "ff7837c8"]);
    });
  }

  it("refuses what is no picture, with its shape", () => {
    expect(() => rgba.output({ x: { shape: [1, 8, 8, 4], dtype: "f32" } }, {})).toThrow(
      "x f32[1, 8, 8, 4], wants [N, H, W, 3]",
    );
  });
});
