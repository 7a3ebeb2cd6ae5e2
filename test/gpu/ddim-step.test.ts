import { describe, expect, it } from "vitest";
import { ddimStepLaunch } from "../../src/kernels/ddim-step.ts";
import * as reference from "../reference/pointwise.ts";
import { testGpu } from "../support/adapter.ts";
import { mismatch } from "../support/mismatch.ts";
import { closeAfterTests, floatDtypes, runLaunch } from "../support/op.ts";
import { samplerRow, stateTensor } from "../support/sampler-state.ts";
import { random, tensor } from "../support/tensor.ts";

closeAfterTests();

const step = { cx: 1.07, ce: -0.31 };
const cases = [
  { name: "control", count: 1024, branches: 1, row: step },
  { name: "size 1", count: 1, branches: 1, row: step },
  { name: "divides nothing", count: 33 * 31, branches: 2, row: { ...step, guidanceScale: 5.5 } },
  { name: "negative guidance", count: 64, branches: 2, row: { ...step, guidanceScale: -2 } },
  { name: "guidance without branches", count: 64, branches: 1, row: { ...step, guidanceScale: 5.5 } },
  { name: "v-prediction", count: 64, branches: 1, row: { ...step, ex: 0.6, em: 0.8 } },
  { name: "DOWN: x → y", count: 64, branches: 1, row: { ...step, target: "y" } },
  { name: "UP: y → x", count: 64, branches: 1, row: { ...step, ex: 0.6, em: 0.8, query: "y", source: "y" } },
  { name: "UP, half strength", count: 64, branches: 1, row: { ...step, query: "y", source: "y", strength: 0.5 } },
  { name: "UP, cached query", count: 64, branches: 2, row: { ...step, ex: 0.6, source: "y", guidanceScale: 3 } },
  { name: "asked about y only", count: 64, branches: 1, row: { ...step, ex: 0.6, query: "y", target: "y" } },
] as const;

describe("ddim-step", async () => {
  for (const dtype of await floatDtypes()) {
    it.each(cases)(`${dtype} $name`, async ({ count, branches, row: given }) => {
      const row = samplerRow(given);
      const [x, y, output] = [
        random([count], "f32", 1),
        random([count], "f32", 2),
        random([branches, count], dtype, 3),
      ];
      const launch = ddimStepLaunch({ count, branches, dtype });
      const spec = { shape: [count], dtype: "f32" } as const;
      const result = await runLaunch(
        await testGpu(),
        launch,
        { state: stateTensor(row), output, x, y },
        { x: spec, y: spec },
      );
      const expected = reference.ddimStep({ x: x.data, y: y.data }, output.data, row);
      // Up to 9 roundings of numbers up to 5.5·2 (the guided output times 0.31, and less), f32 throughout.
      const bound = () => 9 * 2 ** -24 * 4;
      for (const latent of ["x", "y"] as const) {
        const kept = latent !== row.target;
        const report = mismatch(latent, [count], result[latent]!, expected[latent], kept ? () => 0 : bound);
        if (report) throw new Error(report);
      }
    });
  }

  it("takes nothing from a latent that is not asked for, and strength 1 is the step to the last bit", async () => {
    const count = 8;
    const x = tensor([count], "f32", [1e8, -3, 0.1, 7, 1, 2, 3, 4]);
    const output = tensor([1, count], "f32", new Array<number>(count).fill(0));
    const y = tensor([count], "f32", new Array<number>(count).fill(NaN));
    const launch = ddimStepLaunch({ count, branches: 1, dtype: "f32" });
    const spec = { shape: [count], dtype: "f32" } as const;
    const state = stateTensor(samplerRow({ cx: 2 ** -30, ce: 1 }));
    const result = await runLaunch(await testGpu(), launch, { state, output, x, y }, { x: spec, y: spec });
    expect([...result["x"]!]).toEqual([...x.data].map((v) => v * 2 ** -30));
    expect(result["y"]!.every(Number.isNaN)).toBe(true);
  });
});
