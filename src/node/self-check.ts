import { createBuffers, wholeBuffer, writeBuffer, type BufferRange } from "../gpu/buffers.ts";
import { closeGpu, openGpu, type Gpu } from "../gpu/device.ts";
import { prepare, readBuffer, submit } from "../gpu/program.ts";
import { matmul } from "../kernels/matmul.ts";
import type { TensorSpec } from "../tensor.ts";
import type { FoundAdapter } from "./adapter.ts";

export interface SelfCheck {
  readonly ok: boolean;
  /** What was wrong, when something was. */
  readonly problem?: string;
  readonly ms: number;
}

export interface AdapterFacts {
  readonly vendor: string;
  readonly architecture: string;
  readonly features: readonly string[];
  readonly limits: Readonly<Record<string, number>>;
}

/** The limits that decide what fits. */
const limitNames = [
  "maxBufferSize",
  "maxStorageBufferBindingSize",
  "maxStorageBuffersPerShaderStage",
  "minStorageBufferOffsetAlignment",
  "maxComputeWorkgroupStorageSize",
  "maxComputeInvocationsPerWorkgroup",
  "maxComputeWorkgroupsPerDimension",
] as const;

const N = 64;

/** What the adapter offers, and whether the engine's own path computes on it: a product of matrices of small whole numbers, exact in f32. */
export async function checkAdapter({ gpu }: FoundAdapter): Promise<{ facts: AdapterFacts; selfCheck: SelfCheck }> {
  const started = performance.now();
  const adapter = await gpu.requestAdapter({ powerPreference: "high-performance" });
  if (!adapter) throw new Error("the adapter found a moment ago is gone");
  const facts: AdapterFacts = {
    vendor: adapter.info.vendor,
    architecture: adapter.info.architecture,
    features: [...adapter.features].sort(),
    limits: Object.fromEntries(limitNames.map((name) => [name, adapter.limits[name]])),
  };
  const device = await openGpu({ gpu });
  let problem: string | undefined;
  try {
    problem = await product(device);
  } catch (error) {
    problem = (error as Error).message;
  } finally {
    closeGpu(device);
  }
  const ms = Math.round(performance.now() - started);
  return { facts, selfCheck: problem === undefined ? { ok: true, ms } : { ok: false, problem, ms } };
}

/** Multiplies two matrices of size N; returns what is wrong with the result, if anything. */
async function product(gpu: Gpu): Promise<string | undefined> {
  const x = Float32Array.from({ length: N * N }, (_, i) => ((i * 7) % 13) - 6);
  const weight = Float32Array.from({ length: N * N }, (_, i) => ((i * 5) % 11) - 5);
  const spec: TensorSpec = { shape: [N, N], dtype: "f32" };
  const inputs = { x: spec, weight: spec };
  const [a, b, y] = createBuffers(
    gpu,
    ["x", "weight", "y"].map((label) => ({ label, bytes: x.byteLength })),
  ).map(wholeBuffer) as [BufferRange, BufferRange, BufferRange];
  writeBuffer(gpu, a.buffer, 0, new Uint8Array(x.buffer));
  writeBuffer(gpu, b.buffer, 0, new Uint8Array(weight.buffer));
  const launch = matmul.launch(inputs, spec, {});
  submit(gpu, [await prepare(gpu, "self-check", [{ launch, buffers: { x: a, weight: b, y }, label: "product" }])]);
  const found = new Float32Array((await readBuffer(gpu, y)).buffer);
  const expected = x.map((_, i) => dot(x, weight, Math.floor(i / N), i % N));
  const wrong = expected.findIndex((e, i) => found[i] !== e);
  return wrong < 0 ? undefined : `y[${wrong}] = ${found[wrong]}, expected ${expected[wrong]}`;
}

function dot(x: Float32Array, weight: Float32Array, row: number, column: number): number {
  let sum = 0;
  for (let k = 0; k < N; k++) sum += x[row * N + k]! * weight[k * N + column]!;
  return sum;
}
