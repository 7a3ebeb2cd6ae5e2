import type { Gpu } from "../gpu/device.ts";
import type { GenerateResult as PictureResult } from "../pipeline/generate.ts";
import type { Picture } from "../pipeline/picture.ts";
import { createPipeline } from "../pipeline/pipeline.ts";
import type { GenerateRequest } from "../pipeline/request.ts";
import type { Context, DemoRequest, DemoResult } from "./engine.ts";
import { reportOf, sayCutTokens, uploadProgress } from "./generate-picture.ts";
import { openModel, shipped } from "./open-model.ts";

/** The pair that ships with the package. */
export const demoPair = { weak: "models/emoji-weak", strong: "models/emoji-strong" } as const;

const demoPrompt = "blue car, gradient style";
const demoSteps = 20;

/** One seed three ways: the weak model's picture, the strong model's, and W2SD's with the paper's settings. */
export async function demo(gpu: Gpu, request: DemoRequest, { progress, signal }: Context): Promise<DemoResult> {
  const began = performance.now();
  const { prompt = demoPrompt, seed, steps = demoSteps, dtype } = request;
  const strong = await openModel(shipped(demoPair.strong));
  const weak = await openModel(shipped(demoPair.weak));
  try {
    const pipeline = await createPipeline({
      gpu,
      model: strong.checkpoint,
      weak: weak.checkpoint,
      dtype,
      merges: strong.merges,
      onUpload: uploadProgress(progress, strong.checkpoint, weak.checkpoint),
      signal,
    });
    try {
      const runs: [name: string, request: Partial<GenerateRequest>][] = [
        ["weak", { side: "weak" }],
        ["strong", {}],
        ["W2SD", { reflection: {} }],
      ];
      const results: PictureResult[] = [];
      for (const [name, special] of runs) {
        const result = await pipeline.generate({
          prompt,
          seed,
          steps,
          signal,
          ...special,
          onStep: ({ evaluations, totalEvaluations }) => progress.update(name, evaluations, totalEvaluations),
        });
        sayCutTokens(result, progress);
        results.push(result);
      }
      const total = performance.now() - began;
      return {
        image: strip(results.map((r) => r.picture)),
        prompt,
        notes: [
          `${runs.map(([name]) => name).join(" | ")}: "${prompt}", seed ${seed}, ${steps} steps, ${(total / 1000).toFixed(0)} s`,
        ],
        report: Object.fromEntries(runs.map(([name], i) => [name, reportOf(gpu, pipeline, results[i]!, total)])),
      };
    } finally {
      pipeline.dispose();
    }
  } finally {
    await strong.close();
    await weak.close();
  }
}

/** Pictures of one size side by side, small ones enlarged by whole pixels, with a light gap between. */
export function strip(pictures: readonly Picture[], least = 256, gap = 8): Picture {
  const { width: w, height: h } = pictures[0]!;
  const scale = Math.max(1, Math.floor(least / w));
  const width = pictures.length * w * scale + (pictures.length - 1) * gap;
  const height = h * scale;
  const data = new Uint8ClampedArray(4 * width * height).fill(255);
  for (const [i, { data: source }] of pictures.entries()) {
    const left = i * (w * scale + gap);
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < w * scale; x++) {
        const from = 4 * (Math.floor(y / scale) * w + Math.floor(x / scale));
        data.set(source.subarray(from, from + 4), 4 * (y * width + left + x));
      }
    }
  }
  return { width, height, channels: 4, data };
}
