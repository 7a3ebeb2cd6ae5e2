// Runs inside the page of the browser tests: what the tests ask for, as jobs that are started and then looked at, since a
// command to the browser that waits for minutes is one that times out. Built by harness.ts; the engine is the built one.
import type * as Engine from "../../src/index.ts";
import type { Answers, Jobs, JobState, PlainError } from "./jobs.ts";

// By a variable, so that it stays an import of what the server has.
const built = "/dist/index.js";
const engine = (await import(built)) as typeof Engine;

let device: GPUDevice | undefined;
let pipeline: Engine.Pipeline | undefined;

/** The page's own device, as an embedding page has one: with default limits and no features. */
async function ownDevice(): Promise<GPUDevice> {
  const adapter = await navigator.gpu.requestAdapter();
  if (!adapter) throw new Error("the browser offers no adapter");
  return (device ??= await adapter.requestDevice());
}

function loaded(): Engine.Pipeline {
  if (!pipeline) throw new Error("no pipeline is loaded");
  return pipeline;
}

/** Whether a device still does what it is told. */
async function isAlive(device: GPUDevice): Promise<boolean> {
  const buffer = device.createBuffer({ size: 16, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST });
  device.queue.writeBuffer(buffer, 0, Uint32Array.of(42));
  try {
    await buffer.mapAsync(GPUMapMode.READ);
    return new Uint32Array(buffer.getMappedRange())[0] === 42;
  } catch {
    return false;
  } finally {
    buffer.destroy();
  }
}

async function picture(request: Engine.GenerateRequest): Promise<Answers["generate"]> {
  const steps: string[] = [];
  const result = await loaded().generate({
    ...request,
    onStep: ({ evaluations, totalEvaluations }) => steps.push(`${evaluations}/${totalEvaluations}`),
  });
  const { picture, latents, nfe, gpu, seed } = result;
  const { width, height } = picture;
  return { width, height, pixels: [...picture.data], latents: latents && [...latents], nfe, gpu, seed, steps };
}

/** What an error is to the code that catches it. */
async function errorOf(promise: Promise<unknown>): Promise<PlainError | undefined> {
  try {
    await promise;
    return undefined;
  } catch (error) {
    return plainError(error);
  }
}

function plainError(error: unknown): PlainError {
  if (!(error instanceof Error)) return { name: typeof error, message: String(error), classes: [] };
  const classes = (["W2sdError", "FileError", "UsageError", "AbortError"] as const).filter(
    (name) => error instanceof engine[name],
  );
  const hint = error instanceof engine.W2sdError ? error.hint : undefined;
  return { name: error.name, message: error.message, classes, ...(hint !== undefined && { hint }) };
}

const jobs: { [Name in keyof Jobs]: (argument: Jobs[Name]) => Promise<Answers[Name]> } = {
  async open({ model, weak }) {
    const uploads: string[] = [];
    pipeline = await engine.load({
      model,
      weak,
      device: { device: await ownDevice() },
      dtype: "f32",
      onUpload: (component, done, total) => done === total && uploads.push(component),
    });
    const { context, dtype } = pipeline;
    return { uploads, dtype, adapter: context.gpu.adapter, weightBytes: pipeline.weightBytes() };
  },

  async openPicked({ config }) {
    const [file] = document.querySelector<HTMLInputElement>("#file")!.files!;
    const open = { config: engine.urlFolder(new URL(config, location.href)) };
    pipeline = await engine.load({ model: file!, open, dtype: "f32" });
    const { context, dtype } = pipeline;
    return { uploads: [], dtype, adapter: context.gpu.adapter, weightBytes: pipeline.weightBytes() };
  },

  generate: picture,

  async stop(request) {
    const abort = new AbortController();
    const before = loaded().context.gpu.ledger.bytes;
    const error = await errorOf(
      loaded().generate({ ...request, signal: abort.signal, onStep: () => abort.abort("enough") }),
    );
    return { error, leftBytes: loaded().context.gpu.ledger.bytes - before };
  },

  async component({ model, component, inputs }) {
    const checkpoint = await engine.openCheckpoint(engine.urlFolder(new URL(model, location.href)));
    const tensors = new Map(
      inputs.map(({ name, shape, data }) => [name, { shape, data: Float32Array.from(data) }] as const),
    );
    const results = await engine.runComponent(loaded().context, checkpoint, { component, inputs: tensors });
    const output = results.get("output")!;
    return { shape: [...output.shape], data: [...output.data] };
  },

  async dispose() {
    const { gpu } = loaded().context;
    loaded().dispose();
    pipeline = undefined;
    const left = [...gpu.ledger.live].map(({ label }) => label);
    return { left, bytes: gpu.ledger.bytes, borrowed: gpu.borrowed, alive: await isAlive(gpu.device) };
  },

  async toy() {
    const gpu = await engine.openGpu({ device: await ownDevice() });
    const strong = engine.mixture([1], [1], 0.5);
    const weak = engine.mixture([0], [1], 0.5);
    const start = Float64Array.of(-1.5, -0.5, 0, 0.7, 2);
    const x = await engine.runToy(gpu, { strong, weak, start, steps: 50, method: "w2sd" });
    engine.closeGpu(gpu);
    return { x: [...x], alive: await isAlive(gpu.device) };
  },

  async merges() {
    const text = await engine.clipMerges();
    return { lines: text.split("\n").length, characters: text.length };
  },

  async refused(location) {
    const model = typeof location === "string" ? location : new File([new Uint8Array(location.bytes)], location.name);
    return errorOf(engine.load({ model, device: { device: await ownDevice() } }));
  },
};

const states: JobState[] = [];

/** Starts a job and says under which number to look at it. */
function startJob(name: keyof Jobs, argument: unknown): number {
  const state: JobState = { done: false };
  const run = jobs[name] as (argument: unknown) => Promise<unknown>;
  void run(argument).then(
    (answer) => Object.assign(state, { done: true, answer }),
    (error: unknown) => Object.assign(state, { done: true, error: plainError(error) }),
  );
  return states.push(state) - 1;
}

Object.assign(globalThis, { startJob, jobState: (id: number) => states[id] });
