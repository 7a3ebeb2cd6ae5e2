import { AbortError, DeviceError, load, openGpu, type GenerateRequest, type Gpu, type Pipeline } from "../src/index.ts";
import { chosenModel, prepareModels } from "./models.ts";
import { byId, clearPictures, columns, showAdapter, showError, showPicture, showStatus, type Column } from "./view.ts";

const form = byId<HTMLFormElement>("form");
const run = byId<HTMLButtonElement>("run");
const stop = byId<HTMLButtonElement>("stop");

/** Kept as long as the same models are chosen. */
let loaded: { readonly key: string; readonly pipeline: Pipeline } | undefined;

async function pipelineFor(gpu: Gpu, signal: AbortSignal): Promise<Pipeline> {
  const strong = chosenModel(form, "strong");
  if (!strong) throw new Error("there is no strong model");
  const weak = chosenModel(form, "weak");
  const key = JSON.stringify([strong.key, weak?.key]);
  if (loaded?.key === key) return loaded.pipeline;
  loaded?.pipeline.dispose();
  loaded = undefined;
  showStatus("Opening the models…");
  const pipeline = await load({
    model: strong.location,
    weak: weak?.location,
    device: { device: gpu.device },
    signal,
    onUpload: (component, done, total) =>
      showStatus(`Loading weights: ${component.replaceAll("_", " ")}`, total > 0 ? done / total : 1),
  });
  loaded = { key, pipeline };
  return pipeline;
}

/** The request of a column; all of them start from the same noise. */
function requestOf(column: Column, fields: FormData, pair: boolean): GenerateRequest {
  const text = (name: string) => fields.get(name) as string;
  const number = (name: string) => (text(name) === "" ? undefined : Number(text(name)));
  const guidanceScale = number("guidance");
  const common: GenerateRequest = {
    prompt: text("prompt"),
    negativePrompt: text("negative"),
    seed: number("seed"),
    steps: number("steps"),
    guidanceScale,
    width: number("side"),
    height: number("side"),
  };
  if (column === "strong") return common;
  // One model is a pair of its own under two conditions: with guidance, and without the prompt.
  if (column === "weak") return pair ? { ...common, side: "weak" } : { ...common, guidanceScale: 0 };
  return {
    ...common,
    reflection: {
      lambda: number("lambda"),
      inversion: text("inversion") as "exact",
      query: text("query") as "published",
      ...(!pair && { strong: { guidanceScale }, weak: { guidanceScale: 0 } }),
    },
  };
}

const names: Record<Column, string> = { weak: "Weak", strong: "Strong", w2sd: "W2SD" };

async function makePictures(gpu: Gpu, signal: AbortSignal): Promise<void> {
  const fields = new FormData(form);
  clearPictures();
  const pipeline = await pipelineFor(gpu, signal);
  const notes: string[] = [];
  for (const column of columns) {
    showStatus(`${names[column]}: preparing`, 0);
    const request = requestOf(column, fields, pipeline.weak !== undefined);
    const result = await pipeline.generate({
      ...request,
      signal,
      onPipeline: (ready, total) =>
        showStatus(`${names[column]}: preparing kernels, ${ready} of ${total}`, ready / total),
      onStep: ({ step, steps, evaluations, totalEvaluations }) =>
        showStatus(
          `${names[column]}: step ${step} of ${steps} (${evaluations} of ${totalEvaluations} evaluations)`,
          evaluations / totalEvaluations,
        ),
    });
    showPicture(column, result, request.prompt);
    for (const [prompt, cut] of result.cutTokens)
      if (column === "strong") notes.push(`The last ${cut} tokens of “${prompt.slice(0, 40)}…” did not fit.`);
  }
  showStatus(["Done.", ...notes].join(" "));
}

/** Replaced when the device is lost: then everything on it is gone. */
let gpu: Gpu | undefined;

async function openDevice(): Promise<void> {
  gpu = undefined;
  loaded = undefined;
  gpu = await openGpu();
  showAdapter(gpu.adapter);
}

async function submit(): Promise<void> {
  if (!gpu) return;
  const abort = new AbortController();
  const onStop = () => abort.abort();
  stop.addEventListener("click", onStop);
  run.disabled = true;
  stop.disabled = false;
  showError(undefined);
  try {
    await makePictures(gpu, abort.signal);
  } catch (error) {
    if (error instanceof AbortError) showStatus("Stopped.");
    else {
      showStatus("");
      showError(error);
    }
    if (error instanceof DeviceError) await openDevice().catch(showError);
  } finally {
    stop.removeEventListener("click", onStop);
    run.disabled = false;
    stop.disabled = true;
  }
}

async function start(): Promise<void> {
  run.disabled = true;
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    void submit();
  });
  byId("note").textContent = await prepareModels(form);
  await openDevice();
  run.disabled = false;
}

start().catch((error: unknown) => {
  byId("adapter").textContent = "WebGPU cannot be used here.";
  showError(error);
});
