import { afterAll, expect } from "vitest";
import { createBuffer, destroyBuffer, wholeBuffer, writeBuffer, type GpuBuffer } from "../../src/gpu/buffers.ts";
import { settle, type Gpu } from "../../src/gpu/device.ts";
import { disposeProgram, prepare, readBuffer, submit } from "../../src/gpu/program.ts";
import type { Launch } from "../../src/kernels/contract.ts";
import { noFeatures, type Kernel, type KernelFeatures, type Specs } from "../../src/kernels/kernel.ts";
import { storageBytes, type Dtype, type TensorSpec } from "../../src/tensor.ts";
import { closeTestGpu, testGpu } from "./adapter.ts";
import { mismatch } from "./mismatch.ts";
import { decode, encode, type HostTensor } from "./tensor.ts";

/** Bytes bound past a tensor's end: NaN past inputs (an over-read shows), a sentinel past outputs (an over-write shows). */
const TAIL = 512;
const SENTINEL = 0xa5;

/** Dtypes the test adapter computes in: f16 only where it has shader-f16 (lavapipe does, SwiftShader does not). */
export async function floatDtypes(): Promise<("f32" | "f16")[]> {
  return (await testGpu()).features.f16 ? ["f32", "f16"] : ["f32"];
}

function nanFilled(bytes: number, dtype: Dtype): Uint8Array {
  const count = Math.ceil(bytes / (dtype === "f16" ? 2 : 4));
  // A u32 input is an index: its poison is out of range for any table.
  return encode(new Array<number>(count).fill(dtype === "u32" ? 0xffffffff : NaN), dtype);
}

/** The device's optional features that kernels may use, none first: an op with a variant runs its cases under each. */
export async function kernelFeatures(): Promise<KernelFeatures[]> {
  return (await testGpu()).features.subgroups ? [noFeatures, { subgroups: true }] : [noFeatures];
}

export function featureNames({ subgroups }: KernelFeatures): string {
  return subgroups ? "with subgroups" : "without features";
}

export interface RunResult {
  readonly y: Float64Array;
  readonly launch: Launch;
}

/** Runs one launch on poisoned buffers and returns every output by binding name. */
export async function runLaunch(
  gpu: Gpu,
  launch: Launch,
  inputs: Record<string, HostTensor | undefined>,
  outputs: Record<string, TensorSpec>,
): Promise<Record<string, Float64Array>> {
  const buffers: Record<string, GpuBuffer> = {};
  gpu.device.pushErrorScope("validation");
  for (const [name, t] of Object.entries(inputs)) {
    if (!t) continue;
    const bytes = encode(t.data, t.dtype);
    buffers[name] = createBuffer(gpu, storageBytes(t) + TAIL, name);
    writeBuffer(gpu, buffers[name], 0, nanFilled(storageBytes(t) + TAIL, t.dtype));
    // An odd count of f16 shares its last word with poison.
    const padded = nanFilled(storageBytes(t), t.dtype);
    padded.set(bytes);
    writeBuffer(gpu, buffers[name], 0, padded);
  }
  for (const [name, spec] of Object.entries(outputs)) {
    const bytes = storageBytes(spec);
    if (!buffers[name]) {
      buffers[name] = createBuffer(gpu, bytes + TAIL, name);
      writeBuffer(gpu, buffers[name], 0, nanFilled(bytes, spec.dtype));
    }
    writeBuffer(gpu, buffers[name], bytes, new Uint8Array(TAIL).fill(SENTINEL));
  }
  const ranges = Object.fromEntries(Object.entries(buffers).map(([name, b]) => [name, wholeBuffer(b)]));
  const program = await prepare(gpu, launch.contract.name, [{ launch, buffers: ranges, label: "test" }]);
  submit(gpu, [program]);
  const result: Record<string, Float64Array> = {};
  for (const [name, spec] of Object.entries(outputs)) {
    const bytes = await readBuffer(gpu, ranges[name]!);
    const end = storageBytes(spec);
    const over = bytes.subarray(end, end + TAIL).findIndex((b) => b !== SENTINEL);
    if (over >= 0) throw new Error(`${launch.contract.name} wrote ${name} past its end, at byte +${over}`);
    result[name] = decode(
      bytes,
      spec.dtype,
      spec.shape.reduce((a, b) => a * b, 1),
    );
  }
  const invalid = await gpu.device.popErrorScope();
  if (invalid) throw new Error(invalid.message);
  disposeProgram(gpu, program);
  for (const b of Object.values(buffers)) destroyBuffer(gpu, b);
  await settle(gpu);
  return result;
}

/** Runs one op against its f64 reference. Call it inside `it`. */
export async function checkOp<I extends Specs, A>(
  kernel: Kernel<I, A>,
  inputs: { [K in keyof I]: undefined extends I[K] ? HostTensor | undefined : HostTensor },
  attributes: A,
  expected: Float64Array,
  bound: (expected: number) => number,
  features: KernelFeatures = noFeatures,
): Promise<RunResult> {
  const gpu = await testGpu();
  const y = kernel.output(inputs as unknown as I, attributes);
  const launch = kernel.launch(inputs as unknown as I, y, attributes, features);
  const result = await runLaunch(gpu, launch, inputs, { y });
  expect(result["y"]!.length, "output size").toBe(expected.length);
  const report = mismatch("y", y.shape, result["y"]!, expected, bound);
  if (report) throw new Error(`${kernel.name}: ${report}`);
  return { y: result["y"]!, launch };
}

/** Closes the shared device after the file's last test, and holds the ledger to zero. */
export function closeAfterTests(): void {
  afterAll(async () => {
    const gpu = await testGpu();
    expect(
      [...gpu.ledger.live].map((b) => b.label),
      "buffers left",
    ).toEqual([]);
    await closeTestGpu();
  });
}
