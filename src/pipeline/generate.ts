import { checkAborted } from "../errors.ts";
import { check, settle, type Gpu } from "../gpu/device.ts";
import { disposeProgram, prepare, readBuffer, submit } from "../gpu/program.ts";
import { noiseLaunch } from "../kernels/noise.ts";
import { repackLaunch } from "../kernels/repack.ts";
import { elementCount, type Shape } from "../tensor.ts";
import { nfe } from "../w2sd/legs.ts";
import { seedWords, torchNoise } from "../w2sd/noise.ts";
import { createField, start, type Field } from "../w2sd/sample.ts";
import { compileRun, encodeAll } from "./compile-run.ts";
import { toNchw, toNhwc } from "./layout.ts";
import type { Picture } from "./picture.ts";
import type { Pipeline } from "./pipeline.ts";
import { planRun, type GenerateRequest } from "./request.ts";

export interface GenerateResult {
  readonly picture: Picture;
  readonly seed: number;
  readonly nfe: { readonly main: number; readonly down: number; readonly up: number; readonly branches: number };
  readonly gpu: {
    readonly dispatches: number;
    readonly submits: number;
    readonly readbacks: number;
    readonly peakBytes: number;
    readonly weightBytes: number;
    readonly sharedBytes: number;
  };
  readonly ms: { readonly compile: number; readonly text: number; readonly sample: number; readonly vae: number };
  /** Final latents [1, C, h, w], if asked for. */
  readonly latents: Float32Array | undefined;
  /** Tokens that did not fit, by prompt. */
  readonly cutTokens: ReadonlyMap<string, number>;
}

/** One picture. @see the README for the defaults */
export async function generate(pipeline: Pipeline, request: GenerateRequest): Promise<GenerateResult> {
  const { gpu } = pipeline.context;
  check(gpu);
  checkAborted(request.signal, "the picture");
  const before = { ...gpu.counters };
  gpu.ledger.peakBytes = gpu.ledger.bytes;
  const run = planRun(request, pipeline.main.facts, pipeline.weak?.facts);
  const { rows, h, w } = run;
  const channels = pipeline.main.facts.latentChannels;
  const shape = [1, channels, h, w] as const;
  const seed = request.seed ?? 1;
  const clock = stopwatch();

  const cleanup: (() => void)[] = [];
  try {
    const field = createField(gpu, rows, elementCount(shape));
    cleanup.push(field.dispose);
    const compiled = await compileRun(pipeline, request, run, field, cleanup);
    await settle(gpu);
    const compile = clock();
    const cutTokens = await encodeAll(pipeline, compiled, run, field);
    const text = clock();
    await startFrom(request, seed, shape, gpu, field);
    await compiled.sampler.run({ onStep: request.onStep, signal: request.signal });
    const sample = clock();
    const [picture] = await compiled.decoder.decode();
    const final = request.returnLatents
      ? toNchw(floats(await readBuffer(gpu, field.x)), [1, h, w, channels])
      : undefined;
    const vae = clock();
    const { dispatches, submits, readbacks } = gpu.counters;
    return {
      picture: picture!,
      seed,
      nfe: nfe(rows),
      gpu: {
        dispatches: dispatches - before.dispatches,
        submits: submits - before.submits,
        readbacks: readbacks - before.readbacks,
        peakBytes: gpu.ledger.peakBytes,
        weightBytes: pipeline.weightBytes(),
        sharedBytes: pipeline.context.pool.sharedBytes,
      },
      ms: { compile, text, sample, vae },
      latents: final,
      cutTokens,
    };
  } finally {
    for (const undo of cleanup.reverse()) undo();
  }
}

/** Milliseconds since the last call. */
function stopwatch(): () => number {
  let last = performance.now();
  return () => {
    const now = performance.now();
    const passed = now - last;
    last = now;
    return passed;
  };
}

function floats(bytes: Uint8Array): Float32Array {
  return new Float32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);
}

/** Sets the latents to begin with: what the caller gave, or seeded noise. */
async function startFrom(
  { latents, generator = "torch" }: GenerateRequest,
  seed: number,
  shape: Shape,
  gpu: Gpu,
  field: Field,
): Promise<void> {
  if (!latents && generator === "philox") return startPhilox(gpu, field, seed, shape);
  start(gpu, field, toNhwc(latents ?? torchNoise(seed, elementCount(shape)), shape));
}

/** Philox noise made where it is used: drawn in y as the generator counts, [C, h, w], and moved to x as the networks read it, [h, w, C]. */
async function startPhilox(gpu: Gpu, field: Field, seed: number, [, channels = 1, h = 1, w = 1]: Shape): Promise<void> {
  const { low, high } = seedWords(seed);
  const draw = noiseLaunch({ count: field.count, seedLow: low, seedHigh: high, offset: 0 });
  const move = repackLaunch({ source: "F32", target: "f32", rows: [0, channels], O: channels, I: 1, P: h * w });
  const program = await prepare(gpu, "noise", [
    { launch: draw, buffers: { y: field.y }, label: "philox" },
    { launch: move, buffers: { raw: field.y, y: field.x }, label: "philox" },
  ]);
  try {
    start(gpu, field);
    submit(gpu, [program]);
  } finally {
    disposeProgram(gpu, program);
  }
}
