import { describe, it } from "vitest";
import { createBuffer, destroyBuffer, wholeBuffer, writeBuffer, type GpuBuffer } from "../../src/gpu/buffers.ts";
import { disposeProgram, prepare, readBuffer, submit, type BoundLaunch } from "../../src/gpu/program.ts";
import { advanceLaunch } from "../../src/kernels/advance.ts";
import { ddimStepLaunch } from "../../src/kernels/ddim-step.ts";
import { gmmEpsLaunch } from "../../src/kernels/gmm-eps.ts";
import { packRows, STATE_BYTES } from "../../src/kernels/sampler-state.ts";
import { legRows } from "../../src/w2sd/legs.ts";
import { sdxlScheduler } from "../../src/w2sd/schedule.ts";
import * as referenceW2sd from "../reference-w2sd.ts";
import * as reference from "../reference/pointwise.ts";
import { testGpu } from "../support/adapter.ts";
import { mismatch } from "../support/mismatch.ts";
import { closeAfterTests, runLaunch } from "../support/op.ts";
import { samplerRow, stateTensor } from "../support/sampler-state.ts";
import { encode, random, tensor } from "../support/tensor.ts";

closeAfterTests();

type Modes = [weight: number, mean: number][];
const pair: Modes = [
  [0.3, -1],
  [0.7, 2],
];

const cases: {
  name: string;
  count: number;
  alphaBar: number;
  modes: Modes;
  sd: number;
  y?: boolean;
  offset?: number;
}[] = [
  { name: "control", count: 256, alphaBar: 0.275, modes: pair, sd: 0.25 },
  { name: "size 1", count: 1, alphaBar: 0.275, modes: [[1, 0.5]], sd: 1 },
  { name: "divides nothing", count: 33 * 31, alphaBar: 0.5, modes: [...pair, [0.1, 0.2]], sd: 0.5 },
  { name: "almost noise", count: 256, alphaBar: 0.0057755, modes: pair, sd: 0.25 },
  { name: "almost clean", count: 256, alphaBar: 0.99915, modes: pair, sd: 0.05 },
  { name: "query y", count: 256, alphaBar: 0.275, modes: pair, sd: 0.25, y: true },
  { name: "branch 1", count: 100, alphaBar: 0.275, modes: pair, sd: 0.25, offset: 100 },
  { name: "modes far away, one without weight", count: 64, alphaBar: 0.99, modes: [[0.5, 900], [0, 0], [0.5, 1000]], sd: 0.1 }, // prettier-ignore
];

describe("gmm-eps", () => {
  it.each(cases)("$name", async ({ count, alphaBar, modes, sd, y: asksY = false, offset = 0 }) => {
    // ᾱ and 1 − ᾱ are rounded separately: not by samplerRow.
    const state = stateTensor({ ...samplerRow({ query: asksY ? "y" : "x" }), alphaBar });
    const wide = (seed: number) =>
      tensor(
        [count],
        "f32",
        random([count], "f32", seed).data.map((v) => 3 * v),
      );
    const [x, y] = [wide(1), wide(2)];
    const mixture = tensor([modes.length, 2], "f32", modes.flat());
    const launch = gmmEpsLaunch({ count, modes: modes.length, sd, outputOffset: offset });
    const spec = { shape: [offset + count], dtype: "f32" } as const;
    const { output } = await runLaunch(await testGpu(), launch, { state, x, y, mixture }, { output: spec });
    const query = (asksY ? y : x).data;
    const rounded = modes.map((_, k) => [mixture.data[2 * k]!, mixture.data[2 * k + 1]!] as const);
    const expected = new Float64Array(offset + count).fill(NaN);
    expected.set(reference.gmmEps(query, alphaBar, rounded, sd), offset);
    // d is off by δ = 2u·(|q| + max|μ|), and the shares by δ·spread/v each: ε by √(1−ᾱ)/v·(δ + δ·spread²/v), and by 16 roundings of its own;
    // where modes no longer overlap the shares are 0 and 1.
    const v = alphaBar * sd * sd + 1 - alphaBar;
    const spread = Math.max(...modes.map(([, m]) => m)) - Math.min(...modes.map(([, m]) => m));
    const delta = 2 ** -23 * (3 + Math.max(...modes.map(([, m]) => Math.abs(m))));
    const steep = modes.length === 1 || v < 0.02 ? 0 : spread ** 2 / v;
    const bound = (e: number) => (Math.sqrt(1 - alphaBar) / v) * delta * (1 + steep) + 16 * 2 ** -24 * Math.abs(e);
    const report = mismatch("output", spec.shape, output!, expected, bound);
    if (report) throw new Error(report);
  });

  it("carries 50 steps with reflection to 1e-5 of the f64 sampler", async () => {
    const gpu = await testGpu();
    const count = 513;
    const start = tensor(
      [count],
      "f32",
      Float64Array.from({ length: count }, (_, i) => (i - 256) / 80),
    );
    const [strong, weak] = [0.3, 0.6];
    const modes: Modes = [
      [0.5, -1],
      [0.5, 1],
    ];
    const leg = { guidanceScale: 1, predictionType: "epsilon" } as const;
    const options = { scheduler: sdxlScheduler, steps: 50, main: leg, reflection: { down: leg, up: leg } };
    const rows = legRows(options).map((row) => ({ ...row, tRow: row.step }));

    const buffers: Record<string, GpuBuffer> = {};
    const make = (name: string, bytes: number, data?: Uint8Array) => {
      buffers[name] = createBuffer(gpu, bytes, name);
      if (data) writeBuffer(gpu, buffers[name], 0, data);
      return wholeBuffer(buffers[name]);
    };
    const packed = packRows(rows);
    const [schedule, state] = [make("schedule", packed.byteLength, packed), make("state", STATE_BYTES)];
    const [x, y, output] = [
      make("x", 4 * count, encode(start.data, "f32")),
      make("y", 4 * count),
      make("output", 4 * count),
    ];
    const mixture = make("mixture", 4 * 2 * modes.length, encode(modes.flat(), "f32"));
    const evaluation = (sd: number): BoundLaunch[] => [
      { launch: advanceLaunch(), buffers: { schedule, state }, label: "advance" },
      {
        launch: gmmEpsLaunch({ count, modes: modes.length, sd, outputOffset: 0 }),
        buffers: { state, x, y, mixture, output },
        label: "denoiser",
      },
      { launch: ddimStepLaunch({ count, branches: 1, dtype: "f32" }), buffers: { state, output, x, y }, label: "step" },
    ];
    const [good, bad] = [
      await prepare(gpu, "strong", evaluation(strong)),
      await prepare(gpu, "weak", evaluation(weak)),
    ];
    submit(gpu, rows.map((row) => (row.leg === "up" ? bad : good))); // prettier-ignore
    const result = await readBuffer(gpu, x);
    [good, bad].forEach((program) => disposeProgram(gpu, program));
    Object.values(buffers).forEach((buffer) => destroyBuffer(gpu, buffer));

    const denoiser = (sd: number) => referenceW2sd.gaussianMixture(modes.map(([, m]) => [m]), modes.map(([w]) => w), sd); // prettier-ignore
    const expected = referenceW2sd.sampleReference(start.data, {
      steps: 50,
      main: denoiser(strong),
      strong: denoiser(strong),
      weak: denoiser(weak),
    });
    // 148 evaluations with some 8 roundings of numbers up to 3.2 each, adding up like a random walk, twice over.
    const values = Float64Array.from(new Float32Array(result.buffer, result.byteOffset, count));
    const report = mismatch("x", [count], values, expected, () => 1e-5);
    if (report) throw new Error(report);
  });
});
