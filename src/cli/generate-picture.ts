import { FileError } from "../errors.ts";
import { chooseDtype, type Gpu } from "../gpu/device.ts";
import { checkFits, checkPair, factsOf, type ModelFacts } from "../pipeline/model.ts";
import { createPipeline, type Pipeline } from "../pipeline/pipeline.ts";
import type { GenerateResult as PictureResult } from "../pipeline/generate.ts";
import { planRun, type GenerateRequest as PictureRequest } from "../pipeline/request.ts";
import { showShape } from "../tensor.ts";
import type { Checkpoint } from "../weights/checkpoint.ts";
import { firstFew, quote } from "../weights/show.ts";
import type { Context, GenerateReport, GenerateRequest, GenerateResult } from "./engine.ts";
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
    const picture = pictureRequest(request, context, await startLatents(request, facts));
    const run = planRun(picture, facts, weakFacts);
    const dtype = chooseDtype(gpu, request.dtype);
    for (const one of [model, ...(weak ? [weak] : [])]) checkFits({ gpu, dtype, without: [] }, one.checkpoint, run);
    const { progress, signal } = context;
    const pipeline = await createPipeline({
      gpu,
      model: model.checkpoint,
      weak: weak?.checkpoint,
      dtype,
      merges: model.merges,
      onUpload: uploadProgress(progress, model.checkpoint, weak?.checkpoint),
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
  { latents, ...size }: StartLatents,
): PictureRequest {
  const { prompt, negative, seed, steps, cfg, reflection } = r;
  return {
    prompt,
    negativePrompt: negative,
    seed,
    steps,
    guidanceScale: cfg,
    ...size,
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

/** What to start from, and the size of the picture: the one asked for, else that of the latents, else the model's own. */
type StartLatents = Pick<PictureRequest, "latents" | "width" | "height">;

/** `latents` [1, C, h, w] of a file.
 *  @throws {FileError} no such tensor, or another dtype, rank, number of channels or size than the picture wants */
async function startLatents({ latents: path, size }: GenerateRequest, facts: ModelFacts): Promise<StartLatents> {
  if (path === undefined) return { latents: undefined, ...size };
  const tensors = await readTensors(path);
  const found = tensors.get("latents");
  if (!found)
    throw new FileError(`${path} has no tensor 'latents'`, `it has ${firstFew([...tensors.keys()]) || "none"}`);
  const { shape, dtype, data } = found;
  if (dtype !== "F32") throw new FileError(`${path}: latents are ${dtype}, wanted F32`, "save them as float32");
  const { latentChannels: channels, vaeFactor } = facts;
  const [n, c, h = 0, w = 0] = shape;
  const wanted = size ? [size.height / vaeFactor, size.width / vaeFactor] : ["h", "w"];
  const fits = shape.length === 4 && n === 1 && c === channels && (!size || (h === wanted[0] && w === wanted[1]));
  if (!fits) {
    throw new FileError(
      `${path}: latents are ${showShape(shape)}, wanted [1, ${[channels, ...wanted].join(", ")}]`,
      size && c === channels ? `--size ${w * vaeFactor}x${h * vaeFactor}, or none, fits these` : undefined,
    );
  }
  return { latents: data, width: w * vaeFactor, height: h * vaeFactor };
}

/** One bar over all that will be loaded: of the pair, its networks and text encoders, and the strong model's decoder. */
export function uploadProgress(
  progress: Progress,
  strong: Checkpoint,
  weak?: Checkpoint,
): (component: string, loaded: number, total: number) => void {
  const parts = [strong.textEncoder, strong.unet, strong.vae, weak?.textEncoder, weak?.unet];
  const entries = parts.flatMap((part) => [...(part?.tensors ?? [])].filter(([name]) => !encoderOnly.test(name)));
  const total = entries.reduce((n, [, { begin, end }]) => n + end - begin, 0);
  let before = 0;
  return (_, loaded, ofThisPart) => {
    progress.update("load", before + loaded, total);
    if (loaded === ofThisPart) before += loaded;
  };
}

/** Tensors of a VAE that making pictures does without. */
const encoderOnly = /^(encoder|quant_conv)\./;

export function sayCutTokens({ cutTokens }: PictureResult, progress: Progress): void {
  for (const [prompt, cut] of cutTokens)
    progress.say(`the prompt ${quote(prompt, 40)} is ${cut} tokens too long: its end is ignored`);
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

export function adapterOf({ adapter }: Gpu): { name: string; software: boolean } {
  return { name: adapter.name, software: adapter.software };
}
