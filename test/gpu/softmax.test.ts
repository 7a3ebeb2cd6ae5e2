import { describe, expect, it } from "vitest";
import { softmax } from "../../src/kernels/softmax.ts";
import { softmax as reference } from "../reference/norm-attention.ts";
import { checkOp, closeAfterTests, floatDtypes } from "../support/op.ts";
import { random, tensor } from "../support/tensor.ts";
import { tolerance } from "../support/tolerance.ts";

closeAfterTests();

interface Case {
  readonly name: string;
  readonly x: readonly number[];
  readonly scale?: number;
  /** Factor on values in [-1, 1]. */
  readonly size?: number;
  readonly offset?: number;
}

const cases: Case[] = [
  { name: "control", x: [2, 32, 64] },
  { name: "rows that fill no workgroup", x: [77, 80] },
  { name: "odd width", x: [3, 31, 77] },
  { name: "narrower than a team", x: [5, 3] },
  { name: "one element a row", x: [9, 1] },
  { name: "size 1", x: [1] },
  { name: "long rows", x: [2, 4096] },
  { name: "scale", x: [9, 64], scale: 0.125 },
  { name: "negative scale", x: [9, 33], scale: -2 },
  { name: "logits to ±1e4", x: [9, 64], size: 1e4 },
  { name: "all far below zero", x: [9, 33], offset: -1e4 },
];

describe("softmax", async () => {
  for (const dtype of await floatDtypes()) {
    it.each(cases)(`${dtype} $name`, async ({ x, scale = 1, size = 1, offset = 0 }) => {
      const raw = random(x, dtype);
      const tx = tensor(
        x,
        dtype,
        raw.data.map((v) => v * size + offset),
      );
      // A logit is rounded when scaled to base 2 and when the maximum is subtracted, by u·|logit| each; exp2 passes that on relatively, at a value
      // of at most 1. The quotient adds a few u, the sum's own error is relative too.
      const logit = Math.abs(scale) * (size + Math.abs(offset));
      await checkOp(softmax, { x: tx }, { scale }, reference(tx.data, x.at(-1)!, scale), tolerance(dtype, 4 * logit));
    });
  }

  it("refuses empty rows", () => {
    expect(() => softmax.output({ x: { shape: [4, 0], dtype: "f32" } }, {})).toThrow(
      "x f32[4, 0] has 0 elements and rows of 0",
    );
  });
});
