import { FileError, InternalError } from "../errors.ts";
import { destroyBuffer, writeBuffer, type BufferRange, type GpuBuffer } from "../gpu/buffers.ts";
import { check, settle } from "../gpu/device.ts";
import { readBuffer, submit } from "../gpu/program.ts";
import { createScratch, instantiate, type Executable } from "../graph/execute.ts";
import type { Plan } from "../graph/plan.ts";
import type { Denoiser } from "../w2sd/denoiser.ts";
import { nfe } from "../w2sd/legs.ts";
import { philoxNoise, torchNoise } from "../w2sd/noise.ts";
import { createField, createSampler, start, type Field, type Sampler } from "../w2sd/sample.ts";
import { toNchw, toNhwc } from "./layout.ts";
import { planOf } from "./model.ts";
import { createDecoder, type Decoder, type Picture } from "./picture.ts";
import type { Pipeline, PipelineModel } from "./pipeline.ts";
import { planRun, type GenerateRequest, type LegPlan, type RunPlan } from "./request.ts";
import { encodePrompts, setContext, textPlan, type EncodedPrompts } from "./text.ts";

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
  const before = { ...gpu.counters };
  gpu.ledger.peakBytes = gpu.ledger.bytes;
  const run = planRun(request, pipeline.main.facts, pipeline.weak?.facts);
  const { rows, h, w } = run;
  const channels = pipeline.main.facts.latentChannels;
  const shape = [1, channels, h, w] as const;
  const seed = request.seed ?? 1;
  const latents = startLatents(request, seed, shape);
  const clock = stopwatch();

  const cleanup: (() => void)[] = [];
  try {
    const field = createField(gpu, rows, latents.length);
    cleanup.push(field.dispose);
    const compiled = await compileRun(pipeline, request, run, field, cleanup);
    await settle(gpu);
    const compile = clock();
    const cutTokens = await encodeAll(pipeline, compiled, run, field);
    const text = clock();
    start(gpu, field, toNhwc(latents, shape));
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

/** [1, C, h, w]: what the caller gave, or seeded noise. @throws {FileError} a wrong count, or values that are no numbers */
function startLatents(
  { latents, generator = "torch" }: GenerateRequest,
  seed: number,
  shape: readonly number[],
): Float32Array {
  const count = shape.reduce((a, b) => a * b, 1);
  if (!latents) return generator === "torch" ? torchNoise(seed, count) : philoxNoise(seed, count);
  if (latents.length !== count)
    throw new FileError(
      `the given latents have ${latents.length} elements, the picture wants [${shape.join(", ")}]`,
      "choose the size that the latents were made for",
    );
  if (!latents.every(Number.isFinite)) throw new FileError("the given latents hold values that are no finite numbers");
  return latents;
}

interface CompiledRun {
  readonly texts: ReadonlyMap<LegPlan["side"], { plan: Plan; prompts: string[] }>;
  readonly scratch: readonly GpuBuffer[];
  readonly executables: ReadonlyMap<string, Executable>;
  readonly sampler: Sampler;
  readonly decoder: Decoder;
}

/** Plans, allocates, compiles and binds everything that the run will replay. */
async function compileRun(
  pipeline: Pipeline,
  request: GenerateRequest,
  run: RunPlan,
  field: Field,
  cleanup: (() => void)[],
): Promise<CompiledRun> {
  const { context, vae } = pipeline;
  const { gpu } = context;
  const { legs, h, w } = run;
  const texts = new Map<LegPlan["side"], { plan: Plan; prompts: string[] }>();
  for (const side of new Set(legs.map((l) => l.side))) {
    const prompts = [...new Set(legs.filter((l) => l.side === side).flatMap((l) => l.prompts))];
    texts.set(side, { prompts, plan: textPlan(context, modelOf(pipeline, side).text, prompts, request.clipSkip ?? 0) });
  }
  const distinct = new Map(legs.map((leg) => [leg.key, leg]));
  const plans = new Map<string, Plan>();
  for (const [key, { side, prompts }] of distinct) {
    const model = modelOf(pipeline, side);
    const shape = {
      batch: 1,
      branches: prompts.length,
      height: h,
      width: w,
      timesteps: field.timesteps.length,
      tokens: model.text.tokenizer.length,
    };
    plans.set(key, planOf(context, model.unet.graph(shape)));
  }
  const vaePlan = planOf(context, vae.graph({ batch: 1, height: h, width: w }));
  const all = [...plans.values(), vaePlan, ...[...texts.values()].map((t) => t.plan)];
  const scratch = createScratch(gpu, all);
  cleanup.push(() => scratch.forEach((b) => destroyBuffer(gpu, b)));

  const total = all.reduce((n, p) => n + p.once.length + p.step.length, 0);
  let ready = 0;
  const onPipeline = () => request.onPipeline?.(++ready, total);
  const executables = new Map<string, Executable>();
  for (const [key, { side, query }] of distinct) {
    const inputs = { latents: field[query], state: field.state };
    const executable = await instantiate(gpu, plans.get(key)!, {
      weights: modelOf(pipeline, side).unet.weights.ranges,
      scratch,
      inputs,
      onPipeline,
    });
    cleanup.push(executable.dispose);
    executables.set(key, executable);
  }
  const denoisers = Object.fromEntries(
    legs.map(({ leg, key, prompts }) => [leg, denoiserOf(executables.get(key)!, prompts.length === 2 ? 2 : 1)]),
  );
  const sampler = await createSampler(gpu, field, denoisers);
  cleanup.push(sampler.dispose);
  const decoder = await createDecoder(gpu, vaePlan, vae, field.x, scratch);
  cleanup.push(decoder.dispose);
  return { texts, scratch, executables, sampler, decoder };
}

function modelOf({ main, weak = main }: Pipeline, side: LegPlan["side"]): PipelineModel {
  return side === "main" ? main : weak;
}

function denoiserOf({ step, outputs, plan }: Executable, count: 1 | 2): Denoiser {
  const { spec } = plan.outputs.get("output")!;
  return {
    programs: [step],
    output: outputs.get("output")!,
    dtype: spec.dtype === "f16" ? "f16" : "f32",
    branches: count,
  };
}

/** Encodes each model's prompts, hands them to the networks, and runs what depends on prompt and schedule only. */
async function encodeAll(
  pipeline: Pipeline,
  compiled: CompiledRun,
  { legs }: RunPlan,
  field: Field,
): Promise<Map<string, number>> {
  const { gpu } = pipeline.context;
  const encoded = new Map<LegPlan["side"], EncodedPrompts>();
  const cutTokens = new Map<string, number>();
  const timesteps = Float32Array.from(field.timesteps);
  try {
    for (const [side, { plan, prompts }] of compiled.texts) {
      const result = await encodePrompts(gpu, plan, modelOf(pipeline, side).text, prompts, compiled.scratch);
      encoded.set(side, result);
      for (const [prompt, cut] of result.cut) cutTokens.set(prompt, cut);
    }
    for (const { key, side, prompts } of new Map(legs.map((l) => [l.key, l])).values()) {
      const executable = compiled.executables.get(key)!;
      setContext(gpu, input(executable, "context"), encoded.get(side)!, prompts, 1);
      writeBuffer(gpu, input(executable, "timesteps").buffer, 0, new Uint8Array(timesteps.buffer));
      submit(gpu, [executable.once]);
    }
    await settle(gpu);
  } finally {
    for (const { executable } of encoded.values()) executable.dispose();
  }
  return cutTokens;
}

function input(executable: Executable, name: string): BufferRange {
  const range = executable.inputs.get(name);
  if (!range) throw new InternalError(`'${executable.plan.name}' has no input '${name}'`);
  return range;
}
