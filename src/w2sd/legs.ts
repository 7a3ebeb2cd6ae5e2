import { UsageError } from "../errors.ts";
import {
  makeSchedule,
  type PredictionType,
  type Schedule,
  type SchedulerConfig,
  type TimestepSpacing,
} from "./schedule.ts";

/** `down` denoises with the strong model, `up` inverts with the weak one, `main` is the ordinary step. */
export type Leg = "main" | "down" | "up";

/** Coefficients of the inversion: true DDIM inverse, or the published code's, shifted by one step. */
export type Inversion = "exact" | "official";

/** What UP asks its model: y at t_i, y at its own timestep t_{i+1}, or x at t_i, before DOWN. */
export type QueryPoint = "published" | "aligned" | "cached";

/** The two latents of a run: x, and y = what DOWN made of it. */
export type Latent = "x" | "y";

/** One network evaluation and the arithmetic that follows it, as scalars: what the GPU replays.
 *
 *      ε = ex·query + em·output,   F = cx·source + ce·ε,   target = base + strength·(F − base)
 *
 *  where base is x before the reflection (target itself for strength 1). Coefficients are f64; ᾱ in (0, 1]. */
export interface LegRow {
  readonly leg: Leg;
  /** i, from the noisiest. */
  readonly step: number;
  /** What the network is asked: t_i, or t_{i+1} for an aligned UP. */
  readonly timestep: number;
  /** Which latent the network reads. */
  readonly query: Latent;
  /** F's input. */
  readonly source: Latent;
  /** Where the result goes. */
  readonly target: Latent;
  readonly cx: number;
  readonly ce: number;
  readonly ex: number;
  readonly em: number;
  /** ᾱ at the queried timestep. */
  readonly alphaBar: number;
  readonly strength: number;
  readonly guidanceScale: number;
}

/** What a leg's model is, as far as the arithmetic goes. */
export interface LegSpec {
  readonly guidanceScale: number;
  readonly predictionType: PredictionType;
}

export interface ReflectionOptions {
  readonly down: LegSpec;
  readonly up: LegSpec;
  /** λ: how many steps reflect, counted from the noisiest. Default: all but the last. */
  readonly lambda?: number | undefined;
  readonly inversion?: Inversion | undefined;
  readonly query?: QueryPoint | undefined;
  /** x ← x + α·(x̃ − x). 1 is the paper. */
  readonly alpha?: number | undefined;
  /** How often a reflected step reflects. */
  readonly repeats?: number | undefined;
}

export interface SamplerOptions {
  readonly scheduler: SchedulerConfig;
  readonly steps: number;
  readonly spacing?: TimestepSpacing | undefined;
  readonly main: LegSpec;
  /** Absent: plain DDIM. */
  readonly reflection?: ReflectionOptions | undefined;
}

/** All network evaluations of a run, in order: T of MAIN and, for each of the λ noisiest steps, `repeats` of DOWN and UP.
 *
 *      DOWN   y = F(x, ε_S(x, t_i), a → a')
 *      UP     x ← x + α·(F(y, ε_W(·), a' → a) − x)
 *      MAIN   x = F(x, ε(x, t_i), a → a')
 *
 *  with F the DDIM step (η = 0), a = ᾱ(t_i), a' = ᾱ(t_{i+1}) or the final ᾱ.
 *  @throws {UsageError} steps, λ, repeats, α or a guidance scale is out of its range, or not a number
 *  @see Bai et al. 2025, arXiv:2502.00473 Algorithm 1; Song et al. 2020, arXiv:2010.02502 eq. 12 */
export function legRows(options: SamplerOptions): LegRow[] {
  const { scheduler, steps, spacing, main, reflection } = options;
  const schedule = makeSchedule(scheduler, steps, spacing);
  checkLeg("main", main);
  const reflect = reflection && checkReflection(reflection, steps);

  const rows: LegRow[] = [];
  for (let i = 0; i < steps; i++) {
    if (reflect && i < reflect.lambda) {
      for (let k = 0; k < reflect.repeats; k++) rows.push(downRow(schedule, i, reflect), upRow(schedule, i, reflect));
    }
    rows.push(mainRow(schedule, i, main));
  }
  return rows;
}

/** Model calls of each leg, and network passes in all: guidance scale 1 needs the conditional branch only, 0 the
 *  unconditional one only, any other scale both. */
export function nfe(rows: readonly LegRow[]): { main: number; down: number; up: number; branches: number } {
  const count = { main: 0, down: 0, up: 0, branches: 0 };
  for (const row of rows) {
    count[row.leg] += 1;
    count.branches += branches(row.guidanceScale);
  }
  return count;
}

/** Network passes of one evaluation at a guidance scale. */
export function branches(guidanceScale: number): 1 | 2 {
  return guidanceScale === 1 || guidanceScale === 0 ? 1 : 2;
}

/** Coefficients of the DDIM step from ᾱ = a to ᾱ = b, in either direction: F(x, ε) = cx·x + ce·ε.
 *
 *      F = √b·(x − √(1−a)·ε)/√a + √(1−b)·ε   */
export function ddimStep(a: number, b: number): { cx: number; ce: number } {
  return { cx: Math.sqrt(b / a), ce: Math.sqrt(1 - b) - Math.sqrt((b * (1 - a)) / a) };
}

/** How the noise follows from what the network was given and what it returned: ε = ex·query + em·output, at ᾱ of the
 *  timestep the network was asked.   @see Salimans & Ho 2022, arXiv:2202.00512 appendix D (v-prediction) */
export function noiseFrom(predictionType: PredictionType, alphaBar: number): { ex: number; em: number } {
  const signal = Math.sqrt(alphaBar);
  const noise = Math.sqrt(1 - alphaBar);
  switch (predictionType) {
    case "epsilon":
      return { ex: 0, em: 1 };
    case "v_prediction":
      return { ex: noise, em: signal };
    case "sample":
      return { ex: 1 / noise, em: -signal / noise };
  }
}

const stochastic = {
  names: ["ancestral", "sde", "ddpm"],
  because: "it adds fresh noise at every step, which the way back cannot take out again",
};
const fewStep = {
  names: ["lcm", "tcd", "turbo", "lightning", "hyper", "consistency", "onestep"],
  because: "its model jumps to the image in one or a few steps, so there is no small step to undo",
};
const higherOrder = {
  names: ["pndm", "plms", "lms", "deis", "unipc", "dpm", "heun", "multistep"],
  because: "its step depends on several predictions, so no single one undoes it",
};

/** Refuses reflection for a sampler whose step has no inverse, by the name webui, ComfyUI or diffusers gives it.
 *  @throws {UsageError} it is ancestral or an SDE's, few-step, or of higher order than the first */
export function refuseReflection(samplerName: string): void {
  const letters = samplerName.toLowerCase().replace(/[^a-z0-9]/g, "");
  const ancestral = /[ _]a$/.test(samplerName.toLowerCase().trimEnd());
  const family = ancestral
    ? stochastic
    : [stochastic, fewStep, higherOrder].find(({ names }) => names.some((name) => letters.includes(name)));
  if (!family) return;
  throw new UsageError(
    `sampler ${samplerName}: reflection is not defined for it, since ${family.because}`,
    "use ddim or euler, or sample without reflection",
  );
}

/** Refuses reflection for a checkpoint made for a few-step or ancestral sampler. Higher-order ones (PNDM, DEIS) are only
 *  what its authors recommend: the model itself runs under DDIM.   @throws {UsageError} */
export function refuseReflectionOf({ className = "" }: SchedulerConfig): void {
  const letters = className.toLowerCase();
  const family = [{ ...stochastic, names: ["ancestral"] }, fewStep].find(({ names }) =>
    names.some((name) => letters.includes(name)),
  );
  if (!family) return;
  throw new UsageError(
    `scheduler_config.json: the checkpoint is made for ${className}; reflection is not defined for it, since ${family.because}`,
    "take a checkpoint that is not distilled, or sample without reflection",
  );
}

function mainRow({ timesteps, levels }: Schedule, step: number, { predictionType, guidanceScale }: LegSpec): LegRow {
  const a = levels[step]!;
  return {
    leg: "main",
    step,
    timestep: timesteps[step]!,
    query: "x",
    source: "x",
    target: "x",
    ...ddimStep(a, levels[step + 1]!),
    ...noiseFrom(predictionType, a),
    alphaBar: a,
    strength: 1,
    guidanceScale,
  };
}

function downRow(schedule: Schedule, step: number, { down }: ResolvedReflection): LegRow {
  return { ...mainRow(schedule, step, down), leg: "down", target: "y" };
}

function upRow(
  { timesteps, levels }: Schedule,
  step: number,
  { up, inversion, query, alpha }: ResolvedReflection,
): LegRow {
  const asked = query === "aligned" ? step + 1 : step;
  const a = levels[step]!;
  const b = levels[step + 1]!;
  // diffusers ≥ 0.22 reads the inverse scheduler's argument as the target, so the published script undoes the step below
  // the one it made; past the last timestep that is the final ᾱ.
  const { cx, ce } = inversion === "official" ? ddimStep(levels[step + 2]!, b) : ddimStep(b, a);
  return {
    leg: "up",
    step,
    timestep: timesteps[asked]!,
    query: query === "cached" ? "x" : "y",
    source: "y",
    target: "x",
    cx,
    ce,
    ...noiseFrom(up.predictionType, levels[asked]!),
    alphaBar: levels[asked]!,
    strength: alpha,
    guidanceScale: up.guidanceScale,
  };
}

type ResolvedReflection = { readonly [K in keyof ReflectionOptions]-?: NonNullable<ReflectionOptions[K]> };

function checkReflection(options: ReflectionOptions, steps: number): ResolvedReflection {
  const { down, up, lambda = steps - 1, inversion = "exact", query = "published", alpha = 1, repeats = 1 } = options;
  checkLeg("down", down);
  checkLeg("up", up);
  if (!Number.isInteger(lambda) || lambda < 0 || lambda >= steps) {
    throw new UsageError(
      `lambda ${lambda} with ${steps} steps: 0 to ${steps - 1} steps can reflect`,
      "the last step has no step after it to come back from; lambda counts from the noisiest step",
    );
  }
  if (!Number.isInteger(repeats) || repeats < 1) {
    throw new UsageError(`repeats ${repeats}: a reflected step reflects a whole number ≥ 1 of times`);
  }
  if (!Number.isFinite(alpha)) {
    throw new UsageError(`alpha ${alpha}: the strength of the reflection is a finite number`, "1 is the paper's");
  }
  if (inversion !== "exact" && inversion !== "official") {
    throw new UsageError(`inversion ${String(inversion)}: it is exact or official`);
  }
  if (query !== "published" && query !== "aligned" && query !== "cached") {
    throw new UsageError(`query ${String(query)}: it is published, aligned or cached`);
  }
  return { down, up, lambda, inversion, query, alpha, repeats };
}

function checkLeg(leg: Leg, { guidanceScale }: LegSpec): void {
  if (!Number.isFinite(guidanceScale)) {
    throw new UsageError(
      `guidance scale ${guidanceScale} of the ${leg} leg is not a finite number`,
      "1 is the conditional prediction alone, 0 the unconditional one; negative scales are allowed",
    );
  }
}
