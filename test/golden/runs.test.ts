import { afterAll, describe, expect, it } from "vitest";
import { createPipeline, type Pipeline } from "../../src/pipeline/pipeline.ts";
import type { GenerateRequest } from "../../src/pipeline/request.ts";
import { openCheckpoint } from "../../src/weights/checkpoint.ts";
import { diskFolder, type DiskFolder } from "../../src/weights/disk.ts";
import { testGpu } from "../support/adapter.ts";
import { goldenNames, goldenPath, readGolden, relativeError, type GoldenFile } from "../support/golden.ts";
import { closeAfterTests, floatDtypes } from "../support/op.ts";

// Whole pictures from a prompt and a seed, against diffusers' networks in the plain W2SD loop: tokenizer, text encoder, noise, schedule, legs, VAE.
const latentBounds = { f32: 1e-3, f16: 5e-2 } as const;
// Pixels are the decoder's rounding on top: one grey level in f32, a few in f16.
const pixelBounds = { f32: 1.5 / 255, f16: 0.05 } as const;

const pipelines = new Map<string, Promise<{ pipeline: Pipeline; folders: DiskFolder[] }>>();
// Hooks run last in, first out: the pipelines go before the ledger is held to zero.
closeAfterTests();
afterAll(async () => {
  for (const opened of pipelines.values()) {
    const { pipeline, folders } = await opened;
    pipeline.dispose();
    for (const folder of folders) await folder.close();
  }
});
const dtypes = await floatDtypes();

/** The pair of a run, loaded once for all runs that use it. */
function pipelineFor(strong: string, weak: string | undefined, dtype: "f32" | "f16"): Promise<Pipeline> {
  const key = [strong, weak, dtype].join(" ");
  const open = async () => {
    const folders = await Promise.all(
      [strong, weak].filter((n) => n !== undefined).map((n) => diskFolder(goldenPath(`models/${n}`))),
    );
    const [model, second] = await Promise.all(folders.map((f) => openCheckpoint(f)));
    return { folders, pipeline: await createPipeline({ gpu: await testGpu(), model: model!, weak: second, dtype }) };
  };
  if (!pipelines.has(key)) pipelines.set(key, open());
  return pipelines.get(key)!.then((o) => o.pipeline);
}

function requestOf({ metadata, tensors }: GoldenFile, factor: number): GenerateRequest {
  const text = (key: string) => metadata.get(key) ?? "";
  const number = (key: string) => Number(text(key));
  const [, , h = 0, w = 0] = tensors.get("latents")!.shape;
  const autoguided = text("autoguidance") !== "";
  const reflects = number("lambda") > 0 && !autoguided;
  return {
    prompt: text("prompt"),
    negativePrompt: text("negative"),
    seed: number("seed"),
    steps: number("steps"),
    guidanceScale: number("guidance.main"),
    spacing: text("spacing") as "leading",
    height: h * factor,
    width: w * factor,
    returnLatents: true,
    autoguidance: autoguided ? { scale: number("autoguidance") } : undefined,
    reflection: reflects
      ? {
          lambda: number("lambda"),
          inversion: text("inversion") as "exact",
          query: text("query") as "published",
          alpha: number("alpha"),
          repeats: number("repeats"),
          strong: { guidanceScale: number("guidance.down") },
          weak: { guidanceScale: number("guidance.up") },
        }
      : undefined,
  };
}

describe.each(goldenNames("data/runs", /\.safetensors$/))("%s", (file) => {
  it.each(dtypes)("%s", async (dtype) => {
    const golden = await readGolden(`data/runs/${file}`);
    const weak = golden.metadata.get("model.weak") || undefined;
    const strong = golden.metadata.get("model.strong")!;
    const pipeline = await pipelineFor(strong, weak === strong ? undefined : weak, dtype);
    const { picture, latents, nfe, gpu } = await pipeline.generate(requestOf(golden, pipeline.main.facts.vaeFactor));

    const error = relativeError(latents!, golden.tensors.get("latents")!.data);
    if (process.env["SHOW_ERRORS"]) console.log(`${file} ${dtype} latents ${error.toExponential(2)}`);
    expect(error, "relative error of the final latents").toBeLessThanOrEqual(latentBounds[dtype]);
    // Autoguidance asks two networks at each ordinary step, one branch each.
    const calls = golden.metadata.get("autoguidance") ? nfe.branches : nfe.main + nfe.down + nfe.up;
    expect(calls).toBe(Number(golden.metadata.get("nfe")));
    // The picture and the latents that were asked for: nothing else came back, and one submit went out per evaluation, plus text, contexts, prologues, decoding.
    expect(gpu.readbacks).toBe(2);

    const image = golden.tensors.get("image");
    if (!image) return;
    const pixels = picture.width * picture.height;
    let worst = 0;
    for (let p = 0; p < pixels; p++)
      for (let c = 0; c < 3; c++)
        worst = Math.max(worst, Math.abs(picture.data[4 * p + c]! / 255 - image.data[c * pixels + p]!));
    expect(worst, "largest difference of a colour").toBeLessThanOrEqual(pixelBounds[dtype]);
  });
});
