import { describe, expect, it } from "vitest";
import { attention, type AttentionAttributes } from "../../src/kernels/attention.ts";
import { attention as reference, type AttentionShape } from "../reference/norm-attention.ts";
import { checkOp, closeAfterTests, floatDtypes } from "../support/op.ts";
import { random, tensor, type HostTensor } from "../support/tensor.ts";
import { tolerance } from "../support/tolerance.ts";

closeAfterTests();

interface Case extends Omit<AttentionShape, "B" | "Bk"> {
  readonly name: string;
  readonly B?: number;
  readonly Bk?: number;
  readonly attributes?: Omit<AttentionAttributes, "heads">;
  /** Factor on q, whose values are in [-1, 1]. */
  readonly size?: number;
}

const cases: Case[] = [
  { name: "control", Tq: 64, Tk: 64, heads: 2, D: 40 },
  { name: "two batches", B: 2, Tq: 64, Tk: 64, heads: 2, D: 40 },
  { name: "k and v shared by the batch", B: 3, Bk: 1, Tq: 64, Tk: 77, heads: 2, D: 40 },
  { name: "77 keys", Tq: 63, Tk: 77, heads: 2, D: 40 },
  { name: "one key", B: 2, Tq: 35, Tk: 1, heads: 2, D: 40 },
  { name: "one query", Tq: 1, Tk: 33, heads: 3, D: 40 },
  { name: "many keys", Tq: 1, Tk: 4096, heads: 1, D: 40 },
  { name: "causal", Tq: 61, Tk: 61, heads: 2, D: 40, attributes: { causal: true } },
  { name: "causal over fewer keys than queries", Tq: 50, Tk: 9, heads: 1, D: 40, attributes: { causal: true } },
  { name: "logits to ±1e4", Tq: 33, Tk: 70, heads: 1, D: 40, size: 4000 },
  { name: "logits to ±1e4, causal", Tq: 33, Tk: 33, heads: 1, D: 40, size: 4000, attributes: { causal: true } },
  { name: "scale given", Tq: 33, Tk: 31, heads: 1, D: 40, attributes: { scale: 1 } },
  { name: "several workgroups of 4 queries a thread", Tq: 200, Tk: 40, heads: 1, D: 7, attributes: { causal: true } },
  { name: "D 64", Tq: 77, Tk: 77, heads: 2, D: 64, attributes: { causal: true } },
  { name: "D 80", Tq: 17, Tk: 31, heads: 2, D: 80 },
  { name: "D 160", Tq: 17, Tk: 31, heads: 2, D: 160 },
  { name: "D 512", Tq: 17, Tk: 31, heads: 1, D: 512 },
  { name: "D 1", Tq: 33, Tk: 31, heads: 3, D: 1 },
  { name: "D 7", Tq: 33, Tk: 31, heads: 3, D: 7 },
  { name: "D 33", Tq: 33, Tk: 31, heads: 3, D: 33, attributes: { causal: true } },
];

/** Which the f16 runs repeat: a pipeline to compile for each. */
const halfCases = ["control", "77 keys", "causal", "logits to ±1e4", "D 7"];

/** y averages values in [-1, 1], so its error is that of the weights, Σ|δp|, plus the sum's and the store's. A logit is a sum of D products, then scaled:
 *  off by u·(D + 8)·(its largest size); a weight is off by twice that, relatively, and by a few u of exp2 and of the sum over the keys. */
function bound(q: HostTensor, D: number, Tk: number, scale: number) {
  const size = q.data.reduce((a, v) => Math.max(a, Math.abs(v)), 0);
  return tolerance(
    q.dtype === "f16" ? "f16" : "f32",
    Math.sqrt(Tk) + 2 * (D + 8) * Math.max(1, size * scale * Math.sqrt(D)),
  );
}

describe("attention", async () => {
  for (const dtype of await floatDtypes()) {
    const chosen = cases.filter(({ name }) => dtype === "f32" || halfCases.includes(name));
    it.each(chosen)(`${dtype} $name`, async ({ B = 1, Bk = B, Tq, Tk, heads, D, attributes = {}, size = 1 }) => {
      const raw = random([B, Tq, heads * D], dtype, 1);
      const q = tensor(
        raw.shape,
        dtype,
        raw.data.map((x) => x * size),
      );
      const k = random([Bk, Tk, heads * D], dtype, 2);
      const v = random([Bk, Tk, heads * D], dtype, 3);
      const scale = attributes.scale ?? 1 / Math.sqrt(D);
      const expected = reference(q.data, k.data, v.data, { B, Bk, Tq, Tk, heads, D }, attributes);
      await checkOp(attention, { q, k, v }, { heads, ...attributes }, expected, bound(q, D, Tk, scale));
    });
  }

  it("refuses shapes that do not fit, with both numbers", () => {
    const f32 = (...shape: number[]) => ({ shape, dtype: "f32" as const });
    const q = f32(4, 64, 320);
    const kv = (spec: ReturnType<typeof f32>) => () => attention.output({ q, k: spec, v: spec }, { heads: 8 });
    expect(kv(f32(1, 77, 320))()).toEqual(q);
    expect(kv(f32(2, 77, 320))).toThrow("k f32[2, 77, 320] has batch 2, q f32[4, 64, 320] wants 4 or 1");
    expect(kv(f32(4, 77, 768))).toThrow("k f32[4, 77, 768] has width 768, q f32[4, 64, 320] has 320");
    expect(kv(f32(4, 0, 320))).toThrow("softmax over 0 keys");
    expect(() => attention.output({ q, k: q, v: f32(4, 63, 320) }, { heads: 8 })).toThrow(
      "v f32[4, 63, 320] and k f32[4, 64, 320]",
    );
    expect(() => attention.output({ q, k: q, v: q }, { heads: 7 })).toThrow("7 heads do not divide the width 320");
  });
});
