import { checkAborted, InternalError } from "../errors.ts";
import {
  createBuffer,
  destroyBuffer,
  wholeBuffer,
  writeBuffer,
  type BufferRange,
  type GpuBuffer,
} from "../gpu/buffers.ts";
import { settle, type Gpu } from "../gpu/device.ts";
import { disposeProgram, prepare, submit, type BoundLaunch } from "../gpu/program.ts";
import { createScratch, instantiate, type Executable } from "../graph/execute.ts";
import type { Plan } from "../graph/plan.ts";
import { expand } from "../kernels/expand.ts";
import { storageBytes } from "../tensor.ts";
import type { Denoiser } from "../w2sd/denoiser.ts";
import type { Leg } from "../w2sd/legs.ts";
import { createSampler, type Field, type Sampler } from "../w2sd/sample.ts";
import { planOf } from "./model.ts";
import { createDecoder, type Decoder } from "./picture.ts";
import type { Pipeline, PipelineModel } from "./pipeline.ts";
import type { Evaluation, GenerateRequest, RunPlan } from "./request.ts";
import { encodePrompts, setContext, textPlan, type EncodedPrompts } from "./text.ts";

type Side = Evaluation["side"];

/** A run with everything planned, allocated, compiled and bound. */
export interface CompiledRun {
  readonly texts: ReadonlyMap<Side, { plan: Plan; prompts: string[] }>;
  readonly scratch: readonly GpuBuffer[];
  readonly executables: ReadonlyMap<string, Executable>;
  readonly sampler: Sampler;
  readonly decoder: Decoder;
  /** To be called as each pipeline of the text encoders becomes ready, which are compiled last. */
  readonly onPipeline: () => void;
}

/** Plans, allocates, compiles and binds everything that the run will replay. What it allocates is returned by `cleanup`, last first. */
export async function compileRun(
  pipeline: Pipeline,
  request: GenerateRequest,
  run: RunPlan,
  field: Field,
  cleanup: (() => void)[],
): Promise<CompiledRun> {
  const { context, vae } = pipeline;
  const { gpu } = context;
  const { legs, h, w } = run;
  const texts = new Map<Side, { plan: Plan; prompts: string[] }>();
  const evaluations = legs.flatMap((l) => l.evaluations);
  for (const side of new Set(evaluations.map((e) => e.side))) {
    const prompts = [...new Set(evaluations.filter((e) => e.side === side).flatMap((e) => e.prompts))];
    texts.set(side, { prompts, plan: textPlan(context, modelOf(pipeline, side).text, prompts, request.clipSkip ?? 0) });
  }
  const distinct = new Map(evaluations.map((e) => [e.key, e]));
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
  const onPipeline = () => {
    checkAborted(request.signal, "compiling");
    request.onPipeline?.(++ready, total);
  };
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
  const denoisers: Partial<Record<Leg, Denoiser>> = {};
  for (const { leg, evaluations: parts } of legs) {
    const made = parts.map(({ key }) => executables.get(key)!);
    denoisers[leg] = made.length === 1 ? denoiserOf(made[0]!) : await joined(gpu, made, cleanup);
  }
  const sampler = await createSampler(gpu, field, denoisers);
  cleanup.push(sampler.dispose);
  const decoder = await createDecoder(gpu, vaePlan, vae, field.x, scratch, onPipeline);
  cleanup.push(decoder.dispose);
  return { texts, scratch, executables, sampler, decoder, onPipeline };
}

function modelOf({ main, weak = main }: Pipeline, side: Side): PipelineModel {
  return side === "main" ? main : weak;
}

function denoiserOf({ step, outputs, plan }: Executable): Denoiser {
  const { shape, dtype } = plan.outputs.get("output")!.spec;
  return {
    programs: [step],
    output: outputs.get("output")!,
    dtype: dtype === "f16" ? "f16" : "f32",
    branches: shape[0] === 2 ? 2 : 1,
  };
}

/** Networks evaluated one after the other, their results side by side as branches. */
async function joined(gpu: Gpu, parts: readonly Executable[], cleanup: (() => void)[]): Promise<Denoiser> {
  const spec = { ...parts[0]!.plan.outputs.get("output")!.spec, dtype: "f32" as const };
  const bytes = storageBytes(spec);
  const buffer = createBuffer(gpu, parts.length * bytes, "joined predictions");
  cleanup.push(() => destroyBuffer(gpu, buffer));
  const copies = parts.map(({ plan, outputs }, i): BoundLaunch => {
    const x = plan.outputs.get("output")!.spec;
    const y = { buffer, offset: i * bytes, bytes };
    const launch = expand.launch({ x }, spec, { times: 1, dtype: "f32" });
    return { launch, buffers: { x: outputs.get("output")!, y }, label: `branch ${i}` };
  });
  const program = await prepare(gpu, "join", copies);
  cleanup.push(() => disposeProgram(gpu, program));
  return { programs: [...parts.map((p) => p.step), program], output: wholeBuffer(buffer), dtype: "f32", branches: 2 };
}

/** Encodes each model's prompts, hands them to the networks, and runs what depends on prompt and schedule only. */
export async function encodeAll(
  pipeline: Pipeline,
  compiled: CompiledRun,
  { legs }: RunPlan,
  field: Field,
): Promise<Map<string, number>> {
  const { gpu } = pipeline.context;
  const encoded = new Map<Side, EncodedPrompts>();
  const cutTokens = new Map<string, number>();
  const timesteps = Float32Array.from(field.timesteps);
  try {
    for (const [side, { plan, prompts }] of compiled.texts) {
      const result = await encodePrompts(gpu, plan, modelOf(pipeline, side).text, prompts, compiled);
      encoded.set(side, result);
      for (const [prompt, cut] of result.cut) cutTokens.set(prompt, cut);
    }
    for (const { key, side, prompts } of new Map(legs.flatMap((l) => l.evaluations).map((e) => [e.key, e])).values()) {
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
