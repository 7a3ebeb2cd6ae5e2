import { describe, expect, it } from "vitest";
import { embedding } from "../../src/kernels/embedding.ts";
import * as reference from "../reference/pointwise.ts";
import { checkOp, closeAfterTests, floatDtypes } from "../support/op.ts";
import { random, tensor } from "../support/tensor.ts";
import { tolerance } from "../support/tolerance.ts";

closeAfterTests();

const cases = [
  { name: "control", ids: [0, 5, 8, 3, 3, 1], V: 9, D: 32 },
  { name: "size 1", ids: [0], V: 1, D: 1 },
  { name: "divides nothing", ids: [6, 0, 2], V: 7, D: 33 },
  { name: "ids beyond the table", ids: [1, 5, 6, 0xffffffff, 0x80000000, 4], V: 5, D: 3 },
  { name: "two parts", ids: [0, 3, 4, 6, 7, 0xffffffff], V: 4, V2: 3, D: 5 },
  { name: "the first ids", ids: [2, 1, 77, 0], V: 4, D: 6, count: 2 },
];

describe("embedding", async () => {
  for (const dtype of await floatDtypes()) {
    // f16 tables are read on every adapter.
    for (const stored of ["f32", "f16"] as const) {
      it.each(cases)(`${dtype} from ${stored} [$V, $D] $name`, async ({ ids, V, V2, D, count }) => {
        const all = random([V + (V2 ?? 0), D], stored);
        const table = tensor([V, D], stored, all.data.subarray(0, V * D));
        const tableHigh = V2 === undefined ? undefined : tensor([V2, D], stored, all.data.subarray(V * D));
        const attributes = count === undefined ? { dtype } : { dtype, count };
        const expected = reference.embedding(ids.slice(0, count), all.data, D);
        const exact = dtype === "f32" || stored === "f16";
        await checkOp(
          embedding,
          { ids: tensor([ids.length], "u32", ids), table, tableHigh },
          attributes,
          expected,
          exact ? () => 0 : tolerance(dtype, 0),
        );
      });
    }
  }

  it("refuses ids and tables that do not fit, with both", () => {
    const [ids, table] = [{ shape: [3], dtype: "u32" } as const, { shape: [9, 4], dtype: "f32" } as const];
    const attributes = { dtype: "f32" } as const;
    expect(() => embedding.output({ ids, table }, { ...attributes, count: 4 })).toThrow("ids u32[3], wants u32[4]");
    expect(() => embedding.output({ ids: { ...ids, dtype: "f32" }, table }, attributes)).toThrow("ids f32[3]");
    expect(() => embedding.output({ ids, table: ids }, attributes)).toThrow("table u32[3], wants f32 or f16 [V, D]");
    expect(() => embedding.output({ ids, table, tableHigh: { ...table, shape: [2, 5] } }, attributes)).toThrow(
      "tableHigh f32[2, 5] does not continue table f32[9, 4]",
    );
  });
});
