import { DeviceError, InternalError, LimitError } from "../errors.ts";
import type { Launch } from "../kernels/contract.ts";
import { packParams } from "../kernels/specialise.ts";
import { createBuffer, destroyBuffer, writeBuffer, type BufferRange, type GpuBuffer } from "./buffers.ts";
import { check, type Gpu } from "./device.ts";
import { paramsLayout, pipelineOf } from "./pipelines.ts";

/** One dispatch with the buffers it runs on. A read binding left out is filled with another one: the shader's overrides say it is unused. */
export interface BoundLaunch {
  readonly launch: Launch;
  readonly buffers: Readonly<Record<string, BufferRange | undefined>>;
  readonly label: string;
}

interface Dispatch {
  readonly pipeline: GPUComputePipeline;
  readonly tensors: GPUBindGroup;
  readonly paramsOffset: number;
  readonly workgroups: readonly [number, number, number];
  readonly label: string;
}

/** Dispatches ready to be replayed: pipelines compiled, bind groups made, uniforms written. */
export interface Program {
  readonly label: string;
  readonly dispatches: readonly Dispatch[];
  readonly params: GPUBindGroup;
  readonly arena: GpuBuffer;
}

/** Stride of the uniform arena: WebGPU's default offset alignment, and the most a Params struct may hold. */
const SLOT = 256;

/** Compiles the distinct pipelines in parallel and binds everything once; replaying allocates nothing.
 *  @throws {LimitError} a range is larger than one binding may be */
export async function prepare(
  gpu: Gpu,
  label: string,
  launches: readonly BoundLaunch[],
  onPipeline?: () => void,
): Promise<Program> {
  const pipelines = await Promise.all(
    launches.map(async ({ launch }) => {
      const pipeline = await pipelineOf(gpu, launch);
      onPipeline?.();
      return pipeline;
    }),
  );
  check(gpu);
  const uniforms = new Uint8Array(Math.max(1, launches.length) * SLOT);
  const dispatches = launches.map(({ launch, buffers, label: name }, i): Dispatch => {
    uniforms.set(packParams(launch), i * SLOT);
    return {
      pipeline: pipelines[i]!.handle,
      tensors: bind(gpu, pipelines[i]!.tensorLayout, launch, buffers, name),
      paramsOffset: i * SLOT,
      workgroups: launch.workgroups,
      label: name,
    };
  });
  // Last, when nothing can be refused any more: the arena is all that a program has to give back.
  const arena = createBuffer(gpu, uniforms.byteLength, `${label} params`, "uniform");
  writeBuffer(gpu, arena, 0, uniforms);
  const params = gpu.device.createBindGroup({
    label: `${label} params`,
    layout: paramsLayout(gpu),
    entries: [{ binding: 0, resource: { buffer: arena.handle, size: SLOT } }],
  });
  return { label, dispatches, params, arena };
}

function bind(
  gpu: Gpu,
  layout: GPUBindGroupLayout,
  launch: Launch,
  buffers: BoundLaunch["buffers"],
  label: string,
): GPUBindGroup {
  const { contract } = launch;
  const limit = gpu.device.limits.maxStorageBufferBindingSize;
  const filler = contract.bindings.find((b) => b.access === "read" && buffers[b.name])?.name;
  const entries = contract.bindings.map(({ name, access }, binding) => {
    const range = buffers[name] ?? (access === "read" && filler !== undefined ? buffers[filler] : undefined);
    if (!range) throw new InternalError(`${contract.name} '${label}': nothing is bound to '${name}'`);
    if (range.bytes > limit) {
      throw new LimitError(
        `${contract.name} '${label}': '${name}' needs ${range.bytes} bytes in one binding, this device binds ${limit}`,
        "choose a smaller picture or --dtype f16",
      );
    }
    return { binding, resource: { buffer: range.buffer.handle, offset: range.offset, size: range.bytes } };
  });
  return gpu.device.createBindGroup({ label: `${contract.name} ${label}`, layout, entries });
}

/** Replays programs in order: one command buffer, one compute pass, one submit. */
export function submit(gpu: Gpu, programs: readonly Program[]): void {
  check(gpu);
  const encoder = gpu.device.createCommandEncoder();
  const pass = encoder.beginComputePass();
  for (const { dispatches, params } of programs) {
    for (const d of dispatches) {
      pass.setPipeline(d.pipeline);
      pass.setBindGroup(0, d.tensors);
      pass.setBindGroup(1, params, [d.paramsOffset]);
      pass.dispatchWorkgroups(...d.workgroups);
    }
    gpu.counters.dispatches += dispatches.length;
  }
  pass.end();
  gpu.device.queue.submit([encoder.finish()]);
  gpu.counters.submits++;
}

/** Copies bytes between buffers on the device, all in one submit. Offsets and sizes are multiples of 4. */
export function copyRanges(
  gpu: Gpu,
  copies: readonly { readonly from: BufferRange; readonly to: BufferRange }[],
): void {
  const encoder = gpu.device.createCommandEncoder();
  for (const { from, to } of copies)
    encoder.copyBufferToBuffer(
      from.buffer.handle,
      from.offset,
      to.buffer.handle,
      to.offset,
      Math.min(from.bytes, to.bytes),
    );
  gpu.device.queue.submit([encoder.finish()]);
  gpu.counters.submits++;
}

export function disposeProgram(gpu: Gpu, program: Program): void {
  destroyBuffer(gpu, program.arena);
}

/** Copies a range to the host: the one wait of a picture. */
export async function readBuffer(gpu: Gpu, { buffer, offset, bytes }: BufferRange): Promise<Uint8Array> {
  check(gpu);
  const staging = createBuffer(gpu, bytes, `read-back of '${buffer.label}'`, "readback");
  try {
    const encoder = gpu.device.createCommandEncoder();
    encoder.copyBufferToBuffer(buffer.handle, offset, staging.handle, 0, Math.ceil(bytes / 4) * 4);
    gpu.device.queue.submit([encoder.finish()]);
    gpu.counters.readbacks++;
    await staging.handle.mapAsync(1).catch((cause: unknown) => {
      check(gpu);
      throw new DeviceError(`reading '${buffer.label}' failed: ${String(cause)}`, undefined, { cause });
    });
    check(gpu);
    return new Uint8Array(staging.handle.getMappedRange().slice(0, bytes));
  } finally {
    destroyBuffer(gpu, staging);
  }
}
