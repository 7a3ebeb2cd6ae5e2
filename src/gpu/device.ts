import { AdapterError, DeviceError, LimitError, UsageError } from "../errors.ts";
import { destroyBuffer, type Ledger } from "./buffers.ts";
import { createPipelineCache, type PipelineCache } from "./pipelines.ts";

/** An open device and everything this library keeps about it. */
export interface Gpu {
  readonly device: GPUDevice;
  readonly adapter: AdapterSummary;
  readonly features: { readonly f16: boolean; readonly subgroups: boolean; readonly timestamps: boolean };
  readonly ledger: Ledger;
  readonly pipelines: PipelineCache;
  readonly counters: { dispatches: number; submits: number; readbacks: number };
  /** Errors that surfaced asynchronously; `check` throws the first. */
  readonly failures: Error[];
  /** Whether the caller owns the device: then dispose() leaves it alone. */
  readonly borrowed: boolean;
  /** What the device came from. Dawn ends the process when these are collected while the device lives. */
  readonly origin: readonly unknown[];
}

export interface AdapterSummary {
  /** What to show a person, for example "llvmpipe (LLVM 15.0.6, 256 bits)". */
  readonly name: string;
  readonly vendor: string;
  readonly architecture: string;
  /** A software adapter is never reported as a GPU. */
  readonly software: boolean;
}

export interface OpenGpuOptions {
  /** The `navigator.gpu` object, or what the `webgpu` package's `create()` returns. Default: the global one. */
  readonly gpu?: GPU;
  /** A device that the caller owns and goes on owning; its adapter info is taken from it. */
  readonly device?: GPUDevice;
  /** `adapter`: ask for the adapter's features and limits (default). `default`: none, as the weakest devices have. */
  readonly require?: "adapter" | "default";
  readonly powerPreference?: "high-performance" | "low-power";
}

const usefulFeatures = ["shader-f16", "subgroups", "timestamp-query"] as const;
const usefulLimits = [
  "maxBufferSize",
  "maxStorageBufferBindingSize",
  "maxComputeWorkgroupStorageSize",
  "maxComputeInvocationsPerWorkgroup",
  "maxComputeWorkgroupSizeX",
  "maxStorageBuffersPerShaderStage",
] as const;

/** Software rasterisers by the words they use of themselves; `isFallbackAdapter` alone is not reliable everywhere. */
const softwareWords = /swiftshader|llvmpipe|lavapipe|software|basic render|warp/i;

/** Opens a device.
 *  @throws {AdapterError} no WebGPU here, or no adapter */
export async function openGpu(options: OpenGpuOptions = {}): Promise<Gpu> {
  if (options.device) return wrap(options.device, true, []);
  const gpu = options.gpu ?? (globalThis.navigator as { gpu?: GPU } | undefined)?.gpu;
  if (!gpu) {
    throw new AdapterError(
      "this environment has no WebGPU",
      "in a page: a recent Chrome, Edge, Firefox or Safari over https or localhost; in Node: the `webgpu` package",
    );
  }
  const adapter = await gpu.requestAdapter({ powerPreference: options.powerPreference ?? "high-performance" });
  if (!adapter)
    throw new AdapterError(
      "WebGPU offers no adapter",
      "update the graphics driver, or install Mesa's lavapipe (24 or newer)",
    );
  const wanted = options.require !== "default";
  const requiredFeatures = wanted ? usefulFeatures.filter((f) => adapter.features.has(f)) : [];
  const requiredLimits = wanted ? Object.fromEntries(usefulLimits.map((l) => [l, adapter.limits[l]])) : {};
  const device = await adapter
    .requestDevice({ label: "w2sd", requiredFeatures, requiredLimits })
    .catch((cause: unknown) => {
      throw new AdapterError(
        `the adapter '${summarise(adapter.info).name}' refused a device: ${String(cause)}`,
        undefined,
        { cause },
      );
    });
  return wrap(device, false, [gpu, adapter], adapter.info);
}

function summarise(info: GPUAdapterInfo, fallback = false): AdapterSummary {
  const name =
    info.description || info.device || [info.vendor, info.architecture].filter(Boolean).join(" ") || "unnamed adapter";
  const software =
    fallback || softwareWords.test([info.vendor, info.architecture, info.device, info.description].join(" "));
  return { name, vendor: info.vendor, architecture: info.architecture, software };
}

function wrap(device: GPUDevice, borrowed: boolean, origin: readonly unknown[], fallback?: GPUAdapterInfo): Gpu {
  const info = device.adapterInfo ?? fallback;
  const gpu: Gpu = {
    device,
    borrowed,
    origin,
    adapter: summarise(info, info.isFallbackAdapter),
    features: {
      f16: device.features.has("shader-f16"),
      subgroups: device.features.has("subgroups"),
      timestamps: device.features.has("timestamp-query"),
    },
    ledger: { live: new Set(), bytes: 0, peakBytes: 0 },
    pipelines: createPipelineCache(),
    counters: { dispatches: 0, submits: 0, readbacks: 0 },
    failures: [],
  };
  // Commands on a device that is gone succeed and do nothing: only this tells.
  void device.lost.then(({ reason, message }) => {
    const why =
      reason === "destroyed"
        ? "whoever destroyed it did so while it was in use, or after its engine was disposed of; open a new one"
        : "a driver reset or a dispatch that ran too long; open a new engine and run again";
    gpu.failures.push(new DeviceError(`the device '${gpu.adapter.name}' was lost: ${message || reason}`, why));
  });
  device.addEventListener("uncapturederror", (event) => {
    const { error } = event;
    const outOfMemory = error.constructor.name === "GPUOutOfMemoryError";
    gpu.failures.push(
      outOfMemory ? new LimitError(`out of device memory: ${error.message}`) : new DeviceError(error.message),
    );
  });
  return gpu;
}

/** What one binding and one buffer of this device may hold. */
export function bindingLimits({ device }: Gpu): { maxBindingBytes: number; maxBufferBytes: number } {
  return { maxBindingBytes: device.limits.maxStorageBufferBindingSize, maxBufferBytes: device.limits.maxBufferSize };
}

/** Throws what went wrong on the device since the last look. */
export function check(gpu: Gpu): void {
  const [first] = gpu.failures;
  if (first) throw first;
}

/** Waits until the device has done everything submitted so far, then `check`s. */
export async function settle(gpu: Gpu): Promise<void> {
  check(gpu);
  await gpu.device.queue.onSubmittedWorkDone();
  check(gpu);
}

/** Destroys every buffer still live, and the device unless the caller owns it. */
export function closeGpu(gpu: Gpu): void {
  for (const buffer of [...gpu.ledger.live]) destroyBuffer(gpu, buffer);
  gpu.pipelines.clear();
  if (!gpu.borrowed) gpu.device.destroy();
}

/** Resolves `auto`: f16 where the device computes in it, otherwise f32.
 *  @throws {UsageError} f16 is asked for and the device lacks it */
export function chooseDtype(gpu: Gpu, asked: "f16" | "f32" | "auto"): "f16" | "f32" {
  if (asked === "auto") return gpu.features.f16 ? "f16" : "f32";
  if (asked === "f16" && !gpu.features.f16) {
    throw new UsageError(
      `dtype f16: '${gpu.adapter.name}' has no shader-f16`,
      "use dtype auto or f32; f16 weights stay f16 in memory either way",
    );
  }
  return asked;
}
