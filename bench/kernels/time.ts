import { createBuffer, destroyBuffer, wholeBuffer, writeBuffer, type GpuBuffer } from "../../src/gpu/buffers.ts";
import { openGpu, settle, type Gpu } from "../../src/gpu/device.ts";
import { disposeProgram, prepare, readBuffer, submit } from "../../src/gpu/program.ts";
import type { Launch } from "../../src/kernels/contract.ts";
import { adapterLine, findAdapter } from "../../src/node/adapter.ts";
import { elementCount, storageBytes, type TensorSpec } from "../../src/tensor.ts";
import { mismatch } from "../../test/support/mismatch.ts";
import { decode, encode, type HostTensor } from "../../test/support/tensor.ts";

/** One kernel on one set of inputs: what to run, what it should give, and how much work it is. */
export interface Candidate {
  readonly name: string;
  readonly launch: Launch;
  readonly inputs: Readonly<Record<string, HostTensor | undefined>>;
  readonly y: TensorSpec;
  /** Flat indices of y with their values; all of y in f64 would take longer than the bench. */
  readonly samples: readonly (readonly [index: number, value: number])[];
  readonly bound: (expected: number) => number;
  /** Work of one launch: operations, or for a kernel that only moves data the bytes it writes. */
  readonly flop?: number;
  readonly bytes?: number;
}

interface Prepared {
  readonly candidate: Candidate;
  /** Launches of one measurement. */
  readonly repeats: number;
  readonly run: () => Promise<void>;
  readonly dispose: () => void;
  readonly wallMs: number[];
  readonly cpuMs: number[];
}

/** Wanted length of one measurement: long against the cost of a submit. */
const MEASURE_MS = 200;
const ROUNDS = 9;

/** Checks every candidate, then times them in turns and prints GFLOP/s or GB/s: median and best by the wall clock, and by processor time spread over all cores, which is
 *  what a software adapter would reach on an idle machine. */
export async function bench(candidates: readonly Candidate[]): Promise<void> {
  const adapter = await findAdapter();
  console.log(adapterLine(adapter));
  const gpu = await openGpu({ gpu: adapter.gpu });
  const cores = (await import("node:os")).availableParallelism();
  const prepared: Prepared[] = [];
  for (const c of candidates) prepared.push(await prepareCandidate(gpu, c));
  for (let round = 0; round < ROUNDS; round++) {
    for (const p of prepared) {
      const [before, start] = [process.cpuUsage(), performance.now()];
      await p.run();
      p.wallMs.push(performance.now() - start);
      const { user, system } = process.cpuUsage(before);
      p.cpuMs.push((user + system) / 1e3 / cores);
    }
  }
  const width = Math.max(...candidates.map(({ name }) => name.length));
  for (const { candidate, repeats, wallMs, cpuMs } of prepared) {
    const [work, unit] = candidate.flop === undefined ? [candidate.bytes ?? 0, "GB"] : [candidate.flop, "GFLOP"];
    const rate = (ms: number) => ((work * repeats) / ms / 1e6).toFixed(1).padStart(6);
    const median = (times: number[]) => [...times].sort((a, b) => a - b)[times.length >> 1]!;
    const cpu = adapter.software
      ? `   by processor time ${rate(median(cpuMs))} (best ${rate(Math.min(...cpuMs))})`
      : "";
    const wall = `${rate(median(wallMs))} ${unit}/s (best ${rate(Math.min(...wallMs))})`;
    console.log(`${candidate.name.padEnd(width)} ${wall}${cpu}`);
  }
  for (const p of prepared) p.dispose();
}

async function prepareCandidate(gpu: Gpu, given: Candidate): Promise<Prepared> {
  const { launch, inputs, y } = given;
  const buffers: Record<string, GpuBuffer> = { y: createBuffer(gpu, storageBytes(y), "y") };
  for (const [name, t] of Object.entries(inputs)) {
    if (!t) continue;
    buffers[name] = createBuffer(gpu, storageBytes(t), name);
    writeBuffer(gpu, buffers[name], 0, encode(t.data, t.dtype));
  }
  const ranges = Object.fromEntries(Object.entries(buffers).map(([name, b]) => [name, wholeBuffer(b)]));
  const once = await prepare(gpu, "once", [{ launch, buffers: ranges, label: given.name }]);
  submit(gpu, [once]);
  await settle(gpu);
  const got = decode(await readBuffer(gpu, ranges["y"]!), y.dtype, elementCount(y.shape));
  const actual = Float64Array.from(given.samples, ([i]) => got[i]!);
  const expected = Float64Array.from(given.samples, ([, v]) => v);
  const report = mismatch("sample", [expected.length], actual, expected, given.bound);
  if (report) throw new Error(`${given.name}: ${report}`);

  const start = performance.now();
  submit(gpu, [once]);
  await settle(gpu);
  const repeats = Math.max(1, Math.round(MEASURE_MS / (performance.now() - start)));
  const run = async () => {
    submit(gpu, new Array<typeof once>(repeats).fill(once));
    await settle(gpu);
  };
  return {
    candidate: given,
    repeats,
    run,
    dispose: () => {
      disposeProgram(gpu, once);
      for (const b of Object.values(buffers)) destroyBuffer(gpu, b);
    },
    wallMs: [],
    cpuMs: [],
  };
}
