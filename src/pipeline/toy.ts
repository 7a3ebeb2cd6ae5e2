import { createBuffer, destroyBuffer, wholeBuffer, writeBuffer, type GpuBuffer } from "../gpu/buffers.ts";
import type { Gpu } from "../gpu/device.ts";
import { disposeProgram, prepare, readBuffer, type BoundLaunch, type Program } from "../gpu/program.ts";
import { gmmEpsLaunch } from "../kernels/gmm-eps.ts";
import type { Denoiser } from "../w2sd/denoiser.ts";
import { legRows, type Inversion, type LegSpec, type QueryPoint } from "../w2sd/legs.ts";
import { createField, createSampler, start } from "../w2sd/sample.ts";
import { sdxlScheduler } from "../w2sd/schedule.ts";
import type { Mixture } from "../w2sd/toy.ts";

export interface ToyRequest {
  readonly strong: Mixture;
  readonly weak: Mixture;
  /** x_T, taken as it is. */
  readonly start: Float64Array;
  readonly steps: number;
  /** `autoguidance`: ε_W + w·(ε_S − ε_W) at every step. */
  readonly method: "w2sd" | "ddim" | "autoguidance";
  readonly w?: number | undefined;
  readonly lambda?: number | undefined;
  readonly inversion?: Inversion | undefined;
  readonly query?: QueryPoint | undefined;
  readonly alpha?: number | undefined;
  readonly repeats?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** The sampler on distributions whose noise prediction is known: the same loop, the same kernels, an analytic network.
 *  @returns the samples x_0, on SDXL's schedule */
export async function runToy(gpu: Gpu, request: ToyRequest): Promise<Float32Array> {
  const { strong, weak, method, steps, signal } = request;
  const autoguided = method === "autoguidance";
  const leg = (guidanceScale: number): LegSpec => ({ guidanceScale, predictionType: "epsilon" });
  const reflection = {
    down: leg(1),
    up: leg(1),
    lambda: request.lambda,
    inversion: request.inversion,
    query: request.query,
    alpha: request.alpha,
    repeats: request.repeats,
  };
  const rows = legRows({
    scheduler: sdxlScheduler,
    steps,
    main: leg(autoguided ? (request.w ?? 2) : 1),
    reflection: method === "w2sd" ? reflection : undefined,
  });

  const cleanup: (() => void)[] = [];
  try {
    const field = createField(gpu, rows, request.start.length);
    cleanup.push(field.dispose);
    const denoiser = async (mixtures: readonly Mixture[]): Promise<Denoiser> => {
      const { program, buffers, output } = await analytic(gpu, field, mixtures);
      cleanup.push(() => {
        disposeProgram(gpu, program);
        for (const buffer of buffers) destroyBuffer(gpu, buffer);
      });
      return {
        programs: [program],
        output: wholeBuffer(output),
        dtype: "f32",
        branches: mixtures.length === 2 ? 2 : 1,
      };
    };
    const main = await denoiser(autoguided ? [weak, strong] : [strong]);
    const legs = method === "w2sd" ? { main, down: main, up: await denoiser([weak]) } : { main };
    const sampler = await createSampler(gpu, field, legs);
    cleanup.push(sampler.dispose);
    start(gpu, field, Float32Array.from(request.start));
    await sampler.run({ signal });
    const bytes = await readBuffer(gpu, field.x);
    return new Float32Array(bytes.buffer, bytes.byteOffset, field.count);
  } finally {
    for (const undo of cleanup.reverse()) undo();
  }
}

async function analytic(
  gpu: Gpu,
  { x, y, state, count }: Awaited<ReturnType<typeof createField>>,
  mixtures: readonly Mixture[],
) {
  const output: GpuBuffer = createBuffer(gpu, 4 * count * mixtures.length, "analytic noise");
  const buffers = [output];
  const launches = mixtures.map((m, branch): BoundLaunch => {
    const table = Float32Array.from(m.weights.flatMap((weight, k) => [weight, m.means[k]!]));
    const buffer = createBuffer(gpu, table.byteLength, "mixture");
    buffers.push(buffer);
    writeBuffer(gpu, buffer, 0, new Uint8Array(table.buffer));
    return {
      launch: gmmEpsLaunch({ count, modes: m.means.length, sd: m.sd, outputOffset: branch * count }),
      buffers: { state, x, y, mixture: wholeBuffer(buffer), output: wholeBuffer(output) },
      label: `branch ${branch}`,
    };
  });
  const program: Program = await prepare(gpu, "analytic denoiser", launches);
  return { program, buffers, output };
}
