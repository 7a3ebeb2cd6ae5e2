import { AbortError, InternalError } from "../errors.ts";
import { createBuffers, destroyBuffer, wholeBuffer, writeBuffer, type BufferRange } from "../gpu/buffers.ts";
import { settle, type Gpu } from "../gpu/device.ts";
import { disposeProgram, prepare, submit, type Program } from "../gpu/program.ts";
import { advanceLaunch } from "../kernels/advance.ts";
import { ddimStepLaunch } from "../kernels/ddim-step.ts";
import { packRows, STATE_BYTES } from "../kernels/sampler-state.ts";
import type { Denoiser } from "./denoiser.ts";
import type { Leg, LegRow } from "./legs.ts";

/** Everything of a run that changes from evaluation to evaluation, in GPU buffers. */
export interface Field {
  /** Latents per picture set: N·h·w·C. */
  readonly count: number;
  /** The latents, and what DOWN makes of them. f32 [count]. */
  readonly x: BufferRange;
  readonly y: BufferRange;
  /** The row of the schedule in force, and its number; the row's first word selects the time embedding. */
  readonly state: BufferRange;
  readonly schedule: BufferRange;
  /** Distinct timesteps that the networks are asked, in order of first use. */
  readonly timesteps: readonly number[];
  readonly rows: readonly LegRow[];
  dispose(): void;
}

/** Allocates a run's latents and writes its whole schedule: nothing is written while sampling. */
export function createField(gpu: Gpu, rows: readonly LegRow[], count: number): Field {
  const timesteps = [...new Set(rows.map((r) => r.timestep))];
  const packed = packRows(rows.map((row) => ({ ...row, tRow: timesteps.indexOf(row.timestep) })));
  const buffers = createBuffers(gpu, [
    { bytes: 4 * count, label: "latents x" },
    { bytes: 4 * count, label: "latents y" },
    { bytes: STATE_BYTES, label: "sampler state" },
    { bytes: packed.byteLength, label: "schedule" },
  ]);
  const [x, y, state, schedule] = buffers.map(wholeBuffer) as [BufferRange, BufferRange, BufferRange, BufferRange];
  const dispose = () => {
    for (const buffer of buffers.splice(0)) destroyBuffer(gpu, buffer);
  };
  const field: Field = { count, x, y, state, schedule, timesteps, rows, dispose };
  writeBuffer(gpu, field.schedule.buffer, 0, packed);
  return field;
}

/** Sets the schedule to its first row, and the latents, [N, h, w, C], unless something on the GPU has set or will set them. */
export function start(gpu: Gpu, { x, state, count }: Field, latents?: Float32Array): void {
  if (latents) {
    if (latents.length !== count) throw new InternalError(`${latents.length} latents for a field of ${count}`);
    writeBuffer(gpu, x.buffer, x.offset, new Uint8Array(latents.buffer, latents.byteOffset, latents.byteLength));
  }
  writeBuffer(gpu, state.buffer, state.offset, new Uint8Array(STATE_BYTES));
}

/** What `onStep` is told, when the step's work was handed to the device. */
export interface StepProgress {
  /** Steps done, from 1. */
  readonly step: number;
  readonly steps: number;
  readonly timestep: number;
  /** Network evaluations done and in all. */
  readonly evaluations: number;
  readonly totalEvaluations: number;
}

export interface SampleOptions {
  readonly onStep?: ((progress: StepProgress) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** A run compiled: each leg's evaluation with the arithmetic after it. */
export interface Sampler {
  run(options?: SampleOptions): Promise<void>;
  dispose(): void;
}

/** Compiles the loop of Weak-to-Strong Diffusion: for every row of the schedule `advance`, the leg's network, and one kernel that does guidance, the
 *  DDIM step (forward or inverse) and the strength of the reflection.
 *
 *      x̃ = x + α·(F(F(x, ε_S, a → a'), ε_W, a' → a) − x)   on reflected steps, then   x ← F(x̃, ε, a → a')
 *
 *  @see Bai et al. 2025, arXiv:2502.00473, Algorithm 1 */
export async function createSampler(
  gpu: Gpu,
  field: Field,
  legs: Readonly<Partial<Record<Leg, Denoiser>>>,
): Promise<Sampler> {
  const { x, y, state, schedule, rows, count } = field;
  const programs: Program[] = [];
  const own = (program: Program) => {
    programs.push(program);
    return program;
  };
  const dispose = () => {
    for (const program of programs.splice(0)) disposeProgram(gpu, program);
  };
  const evaluations = new Map<Leg, readonly Program[]>();
  try {
    const advance = own(
      await prepare(gpu, "advance", [{ launch: advanceLaunch(), buffers: { schedule, state }, label: "advance" }]),
    );
    for (const [leg, denoiser] of Object.entries(legs) as [Leg, Denoiser][]) {
      const { branches, dtype, output } = denoiser;
      const step = own(
        await prepare(gpu, `${leg} step`, [
          { launch: ddimStepLaunch({ count, branches, dtype }), buffers: { state, output, x, y }, label: leg },
        ]),
      );
      evaluations.set(leg, [advance, ...denoiser.programs, step]);
    }
  } catch (error) {
    dispose();
    throw error;
  }
  return {
    async run({ onStep, signal } = {}) {
      const steps = rows.at(-1)!.step + 1;
      // The host stays one step ahead: the device never waits for it, and it can still report progress and stop.
      let previous: Promise<void> | undefined;
      for (const [k, row] of rows.entries()) {
        submit(gpu, evaluations.get(row.leg)!);
        if (row.leg !== "main") continue;
        const current = settle(gpu);
        current.catch(() => undefined);
        await previous;
        previous = current;
        if (signal?.aborted) {
          await current;
          throw new AbortError(`sampling was stopped after step ${row.step + 1} of ${steps}`, undefined, {
            cause: signal.reason,
          });
        }
        onStep?.({
          step: row.step + 1,
          steps,
          timestep: row.timestep,
          evaluations: k + 1,
          totalEvaluations: rows.length,
        });
      }
      await previous;
    },
    dispose,
  };
}
