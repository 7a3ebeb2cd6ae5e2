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

const N = 4096;
const WG = 64;

// A sum over a workgroup through shared memory and barriers: what every kernel of the engine relies on.
const code = `
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
var<workgroup> part: array<f32, ${WG}>;

@compute @workgroup_size(${WG})
fn main(@builtin(global_invocation_id) g: vec3u, @builtin(local_invocation_index) l: u32, @builtin(workgroup_id) w: vec3u) {
  part[l] = x[g.x] * x[g.x];
  workgroupBarrier();
  for (var s = ${WG / 2}u; s > 0u; s >>= 1u) {
    if (l < s) { part[l] += part[l + s]; }
    workgroupBarrier();
  }
  if (l == 0u) { y[w.x] = part[0]; }
}`;

/** What the adapter offers, and whether it computes: sums of squares of small whole numbers, exact in f32. */
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
  const device = await adapter.requestDevice();
  let problem: string | undefined;
  try {
    problem = await sumOfSquares(device);
  } catch (error) {
    problem = (error as Error).message;
  } finally {
    device.destroy();
  }
  const ms = Math.round(performance.now() - started);
  return { facts, selfCheck: problem === undefined ? { ok: true, ms } : { ok: false, problem, ms } };
}

/** Runs the shader; returns what is wrong with its result, if anything. */
async function sumOfSquares(device: GPUDevice): Promise<string | undefined> {
  const x = Float32Array.from({ length: N }, (_, i) => (i * 7) % 61);
  const expected = Array.from({ length: N / WG }, (_, w) =>
    x.subarray(w * WG, (w + 1) * WG).reduce((s, v) => s + v * v, 0),
  );
  const outputBytes = (N / WG) * 4;
  device.pushErrorScope("validation");
  const input = device.createBuffer({ size: x.byteLength, usage: GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST });
  const output = device.createBuffer({ size: outputBytes, usage: GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC });
  const back = device.createBuffer({ size: outputBytes, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST });
  device.queue.writeBuffer(input, 0, x);
  const pipeline = await device.createComputePipelineAsync({
    layout: "auto",
    compute: { module: device.createShaderModule({ code }) },
  });
  const bindings = [input, output].map((buffer, binding) => ({ binding, resource: { buffer } }));
  const encoder = device.createCommandEncoder();
  const pass = encoder.beginComputePass();
  pass.setPipeline(pipeline);
  pass.setBindGroup(0, device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries: bindings }));
  pass.dispatchWorkgroups(N / WG);
  pass.end();
  encoder.copyBufferToBuffer(output, 0, back, 0, outputBytes);
  device.queue.submit([encoder.finish()]);
  await back.mapAsync(GPUMapMode.READ);
  const y = new Float32Array(back.getMappedRange().slice(0));
  back.unmap();
  const invalid = await device.popErrorScope();
  if (invalid) return invalid.message;
  const wrong = expected.findIndex((e, i) => y[i] !== e);
  return wrong < 0 ? undefined : `y[${wrong}] = ${y[wrong]}, expected ${expected[wrong]}`;
}
