import { FileError } from "../errors.ts";
import type { Gpu } from "../gpu/device.ts";
import { factsOf, checkPair } from "../pipeline/model.ts";
import { createPipeline, type Pipeline } from "../pipeline/pipeline.ts";
import type { GenerateResult as PictureResult } from "../pipeline/generate.ts";
import { planRun, type GenerateRequest as PictureRequest } from "../pipeline/request.ts";
import { showShape } from "../tensor.ts";
import type { Context, GenerateReport, GenerateRequest, GenerateResult } from "./engine.ts";
import { adapterOf } from "./node-engine.ts";
import { openModel, type OpenModel } from "./open-model.ts";
import type { Progress } from "./progress.ts";
import { readTensors, writeTensors } from "./tensor-files.ts";

/** One picture for the command line. Whatever the headers already show to be impossible is refused before weights are read. */
export async function generatePicture(gpu: Gpu, request: GenerateRequest, context: Context): Promise<GenerateResult> {
  const began = performance.now();
  const opened: OpenModel[] = [];
  const open = async (path: string) => {
    const model = await openModel(path);
    opened.push(model);
    return model;
  };
  try {
    const model = await open(request.model);
    const weakPath = request.reflection?.weak;
    const weak = weakPath === undefined ? undefined : await open(weakPath);
    const facts = factsOf(model.checkpoint);
    const weakFacts = weak && factsOf(weak.checkpoint, facts);
    if (weakFacts) checkPair(facts, weakFacts);
    const picture = pictureRequest(request, context, await startLatents(request.latents, facts.latentChannels));
    planRun(picture, facts, weakFacts);
    const { progress, signal } = context;
    const pipeline = await createPipeline({
      gpu,
      model: model.checkpoint,
      weak: weak?.checkpoint,
      dtype: request.dtype,
      merges: model.merges,
      onUpload: uploadProgress(progress),
      signal,
    });
    try {
      const result = await pipeline.generate(picture);
      sayCutTokens(result, progress);
      const { width, height } = result.picture;
      const [c, h, w] = [facts.latentChannels, height / facts.vaeFactor, width / facts.vaeFactor];
      const latents =
        result.latents && writeTensors(new Map([["latents", { shape: [1, c, h, w], data: result.latents }]]));
      return {
        image: result.picture,
        latents,
        report: reportOf(gpu, pipeline, result, performance.now() - began),
      };
    } finally {
      pipeline.dispose();
    }
  } finally {
    for (const model of opened) await model.close();
  }
}

/** The library's request for the command's. */
function pictureRequest(
  r: GenerateRequest,
  { progress, signal }: Context,
  latents: PictureRequest["latents"],
): PictureRequest {
  const { prompt, negative, seed, steps, cfg, size, reflection } = r;
  return {
    prompt,
    negativePrompt: negative,
    seed,
    steps,
    guidanceScale: cfg,
    width: size?.width,
    height: size?.height,
    latents,
    returnLatents: r.wantsLatents,
    reflection: reflection && {
      ...reflection,
      strong: { guidanceScale: reflection.strongCfg },
      weak: { guidanceScale: reflection.weakCfg, prompt: reflection.weakPrompt },
    },
    signal,
    onPipeline: (ready, total) => progress.update("compile", ready, total),
    onStep: ({ evaluations, totalEvaluations }) => progress.update("sample", evaluations, totalEvaluations),
  };
}

/** `latents` [1, C, h, w] of a file. @throws {FileError} no such tensor, or another rank or number of channels */
async function startLatents(path: string | undefined, channels: number): Promise<PictureRequest["latents"]> {
  if (path === undefined) return undefined;
  const tensors = await readTensors(path);
  const found = tensors.get("latents");
  if (!found)
    throw new FileError(`${path} has no tensor 'latents'`, `it has ${[...tensors.keys()].join(", ") || "none"}`);
  const [n, c] = found.shape;
  if (found.shape.length !== 4 || n !== 1 || c !== channels) {
    throw new FileError(`${path}: latents are ${showShape(found.shape)}, wanted [1, ${channels}, h, w]`);
  }
  return found.data;
}

export function uploadProgress(progress: Progress): (component: string, loaded: number, total: number) => void {
  return (component, loaded, total) => progress.update(`load ${component}`, loaded, total);
}

export function sayCutTokens({ cutTokens }: PictureResult, progress: Progress): void {
  for (const [prompt, cut] of cutTokens)
    progress.say(`the prompt '${prompt.slice(0, 40)}…' is ${cut} tokens too long: its end is ignored`);
}

export function reportOf(gpu: Gpu, pipeline: Pipeline, result: PictureResult, total: number): GenerateReport {
  const { seed, nfe, ms } = result;
  return {
    seed,
    nfe,
    adapter: adapterOf(gpu),
    dtype: pipeline.dtype,
    gpu: result.gpu,
    ms: { load: pipeline.loadMs, ...ms, total },
  };
}
