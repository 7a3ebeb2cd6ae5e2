import { describe, expect, it } from "vitest";
import { activation } from "../../src/kernels/activation.ts";
import { activations } from "../../src/kernels/kernel.ts";
import * as reference from "../reference/pointwise.ts";
import { checkOp, closeAfterTests, floatDtypes } from "../support/op.ts";
import { random, tensor } from "../support/tensor.ts";
import { tolerance } from "../support/tolerance.ts";

closeAfterTests();

// WGSL's exp(z) may be off by 3 + 2|z| units in the last place, most where |z|·exp(−|z|) is large: 1.6 units for SiLU at −2.6, 4.5 for the soft clip at
// 0.75 (its quotient has 3 in front and cancels). tolerance(…, 8) grants 8 units absolutely and one relatively.
const bound = (dtype: "f32" | "f16") => tolerance(dtype, 8);

/** Every magnitude from 2⁻¹⁴ to 65504 in both signs, zero, and a dense stretch where the functions bend. */
function sweep(): number[] {
  const bend = Array.from({ length: 4001 }, (_, i) => (i - 2000) / 200);
  const powers = Array.from({ length: 30 }, (_, i) => 2 ** (i - 14)).flatMap((v) => [v, -v, 1.3 * v, -1.3 * v]);
  const extremes = [0, 87, -87, 88, -88, 89, -89, 1e4, -1e4, 65504, -65504].flatMap((v) => [v, v / 1.702]);
  return [...bend, ...powers, ...extremes];
}

describe("activation", async () => {
  for (const dtype of await floatDtypes()) {
    it.each(activations)(`${dtype} %s over its whole range`, async (kind) => {
      const values = sweep();
      const x = tensor([1, values.length + (-values.length & 3)], dtype, [
        ...values,
        ...new Array<number>(-values.length & 3).fill(0),
      ]);
      await checkOp(activation, { x }, { kind }, reference.activation(x.data, kind), bound(dtype));
    });

    it.each([
      { name: "size 1", shape: [1], kind: "silu" },
      { name: "divides nothing", shape: [3, 33, 31, 7], kind: "silu" },
      { name: "divides nothing", shape: [1, 3, 5], kind: "gelu" },
    ] as const)(`${dtype} $kind $name`, async ({ shape, kind }) => {
      const x = random(shape, dtype);
      await checkOp(activation, { x }, { kind }, reference.activation(x.data, kind), bound(dtype));
    });
  }

  it.each(activations)("%s keeps NaN", async (kind) => {
    const x = tensor([8], "f32", [1, NaN, 2, 3, 4, NaN, 5, 6]);
    const { y } = await checkOp(activation, { x }, { kind }, reference.activation(x.data, kind), bound("f32"));
    expect([...y].map(Number.isNaN)).toEqual([...x.data].map(Number.isNaN));
  });

  // Of 0.5·x·(1 + erf(x/√2)) nothing is left at −5.5 in f32; by erfc the tail keeps its digits. exp(−a²) with a² ≈ 15 may be off by 33 units, a² itself by 15.
  it("gelu keeps relative precision in its negative tail", async () => {
    const x = tensor([4], "f32", [-1, -2.5, -4, -5.5]);
    // Φ(x) to 10 digits, from tables of the normal distribution.
    const phi = [0.1586552539, 6.209665326e-3, 3.167124183e-5, 1.898956247e-8];
    const expected = x.data.map((v, i) => v * phi[i]!);
    await checkOp(activation, { x }, { kind: "gelu" }, expected, (e) => 60 * 2 ** -23 * Math.abs(e));
  });

  it("the soft clip keeps relative precision near zero", async () => {
    const values = Array.from({ length: 64 }, (_, i) => (i - 32) * 0.0234);
    const x = tensor([64], "f32", [...values]);
    // x/3, the Taylor sum, the product by x/3 and the one by 3: 5 roundings with their echoes.
    const expected = reference.activation(x.data, "softClip");
    await checkOp(activation, { x }, { kind: "softClip" }, expected, (e) => 6 * 2 ** -24 * Math.abs(e));
  });
});
