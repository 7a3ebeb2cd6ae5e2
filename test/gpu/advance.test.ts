import { describe, expect, it } from "vitest";
import { createBuffer, destroyBuffer, wholeBuffer, writeBuffer } from "../../src/gpu/buffers.ts";
import { disposeProgram, prepare, readBuffer, submit } from "../../src/gpu/program.ts";
import { advanceLaunch } from "../../src/kernels/advance.ts";
import { packRows, STATE_BYTES, type SamplerRow } from "../../src/kernels/sampler-state.ts";
import { testGpu } from "../support/adapter.ts";
import { closeAfterTests } from "../support/op.ts";
import { samplerRow } from "../support/sampler-state.ts";

closeAfterTests();

const rows: SamplerRow[] = [
  samplerRow({ tRow: 7, cx: 0.1, ce: -0.2, ex: 0.3, em: 0.4, guidanceScale: 5.5, strength: 0.6, alphaBar: 0.25 }),
  samplerRow({ tRow: 0, query: "y", alphaBar: 0.99914997 }),
  samplerRow({ tRow: 1, source: "y" }),
  samplerRow({ tRow: 2, target: "y" }),
];

describe("advance", () => {
  it("packs rows word by word", () => {
    const view = new DataView(packRows(rows).buffer);
    const words = (k: number) => [view.getUint32(48 * k, true), view.getUint32(48 * k + 4, true)];
    const floats = [0.1, -0.2, 0.3, 0.4, 5.5, 0.6, 0.25, 0.75, 0, 0].map(Math.fround);
    expect(words(0)).toEqual([7, 0]);
    expect(floats.map((_, j) => view.getFloat32(8 + 4 * j, true))).toEqual(floats);
    expect([words(1), words(2), words(3)]).toEqual([
      [0, 1],
      [1, 2],
      [2, 4],
    ]);
    // 1 − ᾱ is rounded after the subtraction.
    const precise = { ...rows[1]!, alphaBar: 0.99915 };
    expect(new DataView(packRows([precise]).buffer).getFloat32(48 - 12, true)).toBe(Math.fround(1 - 0.99915));
  });

  // Not by runLaunch: its poison after the schedule would count as rows.
  it("walks the schedule and stays on its last row", async () => {
    const gpu = await testGpu();
    const bytes = packRows(rows);
    const [schedule, state] = [
      createBuffer(gpu, bytes.byteLength, "schedule"),
      createBuffer(gpu, STATE_BYTES, "state"),
    ];
    writeBuffer(gpu, schedule, 0, bytes);
    const buffers = { schedule: wholeBuffer(schedule), state: wholeBuffer(state) };
    const program = await prepare(gpu, "advance", [{ launch: advanceLaunch(), buffers, label: "test" }]);
    for (const [k, row] of [0, 1, 2, 3, 3].entries()) {
      submit(gpu, [program]);
      const now = await readBuffer(gpu, { buffer: state, offset: 0, bytes: STATE_BYTES });
      expect([...now.subarray(0, 48)], `row ${k}`).toEqual([...bytes.subarray(48 * row, 48 * (row + 1))]);
      expect(new DataView(now.buffer, now.byteOffset).getUint32(48, true)).toBe(k + 1);
    }
    disposeProgram(gpu, program);
    [schedule, state].forEach((buffer) => destroyBuffer(gpu, buffer));
  });
});
