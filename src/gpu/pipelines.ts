import { DeviceError } from "../errors.ts";
import type { Contract, Launch } from "../kernels/contract.ts";
import { pipelineKey, specialise } from "../kernels/specialise.ts";
import type { Gpu } from "./device.ts";

export interface Pipeline {
  readonly handle: GPUComputePipeline;
  readonly tensorLayout: GPUBindGroupLayout;
  readonly paramsLayout: GPUBindGroupLayout;
}

/** Pipelines of one device by specialisation, and bind-group layouts by contract. */
export interface PipelineCache {
  readonly pipelines: Map<string, Promise<Pipeline>>;
  readonly layouts: Map<Contract, { tensors: GPUBindGroupLayout; layout: GPUPipelineLayout }>;
  params: GPUBindGroupLayout | undefined;
  clear(): void;
}

export function createPipelineCache(): PipelineCache {
  const cache: PipelineCache = {
    pipelines: new Map(),
    layouts: new Map(),
    params: undefined,
    clear() {
      cache.pipelines.clear();
      cache.layouts.clear();
      cache.params = undefined;
    },
  };
  return cache;
}

/** Layout of group 1: one uniform struct of at most 256 bytes at a dynamic offset, the same for every shader. */
export function paramsLayout(gpu: Gpu): GPUBindGroupLayout {
  gpu.pipelines.params ??= gpu.device.createBindGroupLayout({
    label: "params",
    entries: [{ binding: 0, visibility: 4, buffer: { type: "uniform", hasDynamicOffset: true } }],
  });
  return gpu.pipelines.params;
}

function layoutsOf(gpu: Gpu, contract: Contract) {
  const known = gpu.pipelines.layouts.get(contract);
  if (known) return known;
  // Explicit, not "auto": bind groups can be shared between specialisations and an unused binding cannot vanish.
  const tensors = gpu.device.createBindGroupLayout({
    label: contract.name,
    entries: contract.bindings.map(({ access }, binding) => ({
      binding,
      visibility: 4, // COMPUTE
      buffer: { type: access === "read" ? ("read-only-storage" as const) : ("storage" as const) },
    })),
  });
  const layout = gpu.device.createPipelineLayout({
    label: contract.name,
    bindGroupLayouts: [tensors, paramsLayout(gpu)],
  });
  const made = { tensors, layout };
  gpu.pipelines.layouts.set(contract, made);
  return made;
}

/** The pipeline of a launch, compiled once per specialisation, asynchronously.
 *  @throws {DeviceError} with file, line and column when the shader does not compile */
export function pipelineOf(gpu: Gpu, launch: Launch): Promise<Pipeline> {
  const key = pipelineKey(launch);
  let pipeline = gpu.pipelines.pipelines.get(key);
  if (!pipeline) {
    pipeline = compile(gpu, launch, key);
    gpu.pipelines.pipelines.set(key, pipeline);
  }
  return pipeline;
}

async function compile(gpu: Gpu, launch: Launch, key: string): Promise<Pipeline> {
  const { contract } = launch;
  const code = specialise(launch);
  const { tensors, layout } = layoutsOf(gpu, contract);
  gpu.device.pushErrorScope("validation");
  const module = gpu.device.createShaderModule({ label: `${contract.name}.wgsl`, code });
  const scope = gpu.device.popErrorScope();
  const constants = Object.fromEntries(Object.entries(launch.overrides).map(([name, value]) => [name, Number(value)]));
  const made = gpu.device
    .createComputePipelineAsync({ label: key, layout, compute: { module, entryPoint: "main", constants } })
    .then((handle) => ({ handle, tensorLayout: tensors, paramsLayout: paramsLayout(gpu) }));
  // A compile failure surfaces three times (messages, error scope, rejection): gather all in one error.
  const [info, invalid, result] = await Promise.all([
    module.getCompilationInfo(),
    scope,
    made.catch((e: unknown) => e as Error),
  ]);
  if (!(result instanceof Error) && !invalid) return result;
  const lines = code.split("\n");
  const messages = info.messages
    .filter((m) => m.type === "error")
    .map((m) => `${contract.name}.wgsl:${m.lineNum}:${m.linePos} ${m.message}\n    ${lines[m.lineNum - 1]?.trim()}`);
  const rest = [invalid?.message, result instanceof Error ? result.message : undefined].filter((m) => m !== undefined);
  throw new DeviceError(`shader does not compile: ${key}\n  ${(messages.length ? messages : rest).join("\n  ")}`);
}
