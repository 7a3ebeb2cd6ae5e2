import { AbortError } from "../errors.ts";
import { chooseDtype, closeGpu, openGpu, type Gpu } from "../gpu/device.ts";
import { createWeightPool } from "../graph/weight-pool.ts";
import { runComponent } from "../pipeline/component.ts";
import { runToy, type ToyRequest } from "../pipeline/toy.ts";
import { openPath } from "../weights/disk.ts";
import { inspect, showInspection } from "../weights/inspect.ts";
import { halves, mixture, quantileStarts, twoPeaks } from "../w2sd/toy.ts";
import { demo } from "./demo-strip.ts";
import type { Context, Engine, ToyOptions } from "./engine.ts";
import { adapterOf, generatePicture } from "./generate-picture.ts";
import { openModel } from "./open-model.ts";
import { readTensors, writeTensors } from "./tensor-files.ts";

/** The engine in Node: opens files and a device for one command, and closes both. */
export const nodeEngine: Engine = {
  generate: (request, context) => withGpu(context, (gpu) => generatePicture(gpu, request, context)),
  demo: (request, context) => withGpu(context, (gpu) => demo(gpu, request, context)),

  run: (request, context) =>
    withGpu(context, async (gpu) => {
      const inputs = await readTensors(request.input);
      const model = await openModel(request.model, partOf(request.component));
      try {
        const dtype = chooseDtype(gpu, request.dtype);
        const load = {
          gpu,
          pool: createWeightPool(),
          dtype,
          without: [],
          signal: context.signal,
          merges: model.merges,
        };
        const began = performance.now();
        const results = await runComponent(load, model.checkpoint, { component: request.component, inputs });
        const shapes = Object.fromEntries([...results].map(([name, { shape }]) => [name, shape]));
        const ms = performance.now() - began;
        return {
          output: writeTensors(results),
          report: { component: request.component, dtype, adapter: adapterOf(gpu), outputs: shapes, ms },
        };
      } finally {
        await model.close();
      }
    }),

  toyGmm: (request, context) =>
    withGpu(context, async (gpu) => {
      const peaks = (left: number) => twoPeaks(request.peaks, left, request.sd);
      const start = quantileStarts(request.samples);
      const toy = { ...sampling(request, context), strong: peaks(request.strong), weak: peaks(request.weak), start };
      return halves(await runToy(gpu, toy));
    }),

  toyGaussian: (request, context) =>
    withGpu(context, async (gpu) => {
      const bell = (mean: number) => mixture([mean], [1], request.sd);
      const start = Float64Array.from(request.x);
      const toy = {
        ...sampling(request, context),
        strong: bell(request.strongMean),
        weak: bell(request.weakMean),
        start,
      };
      return { x: [...(await runToy(gpu, toy))] };
    }),

  async inspect(path) {
    const location = await openPath(path);
    try {
      const inspection = await inspect(location);
      return { ...inspection, summary: showInspection(inspection) };
    } finally {
      await location.close();
    }
  },
};

function partOf(component: string): "unet" | "vae" | "text_encoder" {
  return component === "unet" || component === "text_encoder" ? component : "vae";
}

function sampling(o: ToyOptions, { signal }: Context): Omit<ToyRequest, "strong" | "weak" | "start"> {
  const { steps, method, w, lambda, inversion, query, alpha } = o;
  return { steps, method, w, lambda, inversion, query, alpha, signal };
}

async function withGpu<T>({ adapter, signal }: Context, work: (gpu: Gpu) => Promise<T>): Promise<T> {
  const gpu = await openGpu({ gpu: adapter.gpu });
  try {
    if (signal.aborted) throw new AbortError("interrupted");
    return await work(gpu);
  } finally {
    closeGpu(gpu);
  }
}
