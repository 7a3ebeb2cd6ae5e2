import { FileError, UsageError } from "../errors.ts";

export type PredictionType = "epsilon" | "v_prediction" | "sample";
export type TimestepSpacing = "leading" | "trailing" | "linspace";
export type BetaSchedule = "linear" | "scaled_linear" | "squaredcos_cap_v2";

/** What a deterministic first-order sampler needs of a `scheduler_config.json`. */
export interface SchedulerConfig {
  /** `_class_name`: the sampler the checkpoint recommends, which is not necessarily the one that runs. */
  readonly className: string | undefined;
  readonly trainSteps: number;
  readonly betaStart: number;
  readonly betaEnd: number;
  readonly betaSchedule: BetaSchedule;
  /** Overrides start, end and schedule. */
  readonly trainedBetas: readonly number[] | undefined;
  readonly rescaleBetasZeroSnr: boolean;
  /** What lies below timestep 0: ᾱ = 1 (true) or ᾱ[0] (false). */
  readonly setAlphaToOne: boolean;
  readonly stepsOffset: number;
  readonly predictionType: PredictionType;
  readonly spacing: TimestepSpacing;
}

/** A run's noise levels, in sampling order: `timesteps[0]` is the noisiest. */
export interface Schedule {
  /** t_i, i = 0 … T−1. */
  readonly timesteps: readonly number[];
  /** ᾱ(t_i), i = 0 … T−1, then ᾱ where the last step ends: T + 1 values. */
  readonly levels: readonly number[];
  /** ᾱ_t of all training timesteps. */
  readonly alphaBar: Float64Array;
}

const predictionTypes = ["epsilon", "v_prediction", "sample"] as const;
const spacings = ["leading", "trailing", "linspace"] as const;
const betaSchedules = ["linear", "scaled_linear", "squaredcos_cap_v2"] as const;

/** The schedule of SD1.5, SD2.x and SDXL: β 0.00085 → 0.012 scaled linear, leading from 1, ending at ᾱ[0]. */
export const sdxlScheduler: SchedulerConfig = {
  className: undefined,
  trainSteps: 1000,
  betaStart: 0.00085,
  betaEnd: 0.012,
  betaSchedule: "scaled_linear",
  trainedBetas: undefined,
  rescaleBetasZeroSnr: false,
  setAlphaToOne: false,
  stepsOffset: 1,
  predictionType: "epsilon",
  spacing: "leading",
};

/** Reads any diffusers `scheduler_config.json` for what a DDIM run on its schedule needs: betas, prediction type, spacing,
 *  offset. Absent keys mean what they mean to diffusers' DDIMScheduler (linear β 1e-4 → 0.02, leading, offset 0, end at 1).
 *  @throws {FileError} a value is of the wrong kind, or the schedule is not one of β (flow matching, EDM) */
export function readSchedulerConfig(json: unknown): SchedulerConfig {
  if (typeof json !== "object" || json === null || Array.isArray(json)) {
    throw new FileError("scheduler_config.json: not a JSON object", "it belongs in the checkpoint's scheduler/ folder");
  }
  const fields = json as Readonly<Record<string, unknown>>;
  const className = typeof fields["_class_name"] === "string" ? fields["_class_name"] : undefined;
  const prediction = fields["prediction_type"];
  if (className?.startsWith("FlowMatch") || className?.startsWith("EDM") || prediction === "flow_prediction") {
    throw new FileError(
      `scheduler_config.json: ${className ?? "its prediction type"} is not a schedule of betas`,
      "only ε-, v- and sample-prediction models of the DDPM kind are supported, no flow-matching or EDM ones",
    );
  }
  for (const key of ["clip_sample", "thresholding"] as const) {
    if (fields[key] === true) {
      throw new FileError(
        `scheduler_config.json: ${key} is true, but a clipped step is not linear in the latent and cannot be inverted`,
        `latent diffusion does not clip: set ${key} to false`,
      );
    }
  }
  const betas = fields["trained_betas"] ?? undefined;
  if (betas !== undefined && !isBetas(betas)) {
    throw new FileError("scheduler_config.json: trained_betas is not a list of numbers in [0, 1)");
  }
  return {
    className,
    trainSteps: betas ? betas.length : field(fields, "num_train_timesteps", 1000, isCount, "a whole number ≥ 1"),
    betaStart: field(fields, "beta_start", 0.0001, isBeta, "a number in [0, 1)"),
    betaEnd: field(fields, "beta_end", 0.02, isBeta, "a number in [0, 1)"),
    // With trained betas the name does not matter, and may be anything.
    betaSchedule: betas ? "linear" : choice(fields, "beta_schedule", "linear", betaSchedules),
    trainedBetas: betas,
    rescaleBetasZeroSnr: field(fields, "rescale_betas_zero_snr", false, isBoolean, "true or false"),
    setAlphaToOne: field(fields, "set_alpha_to_one", true, isBoolean, "true or false"),
    stepsOffset: field(fields, "steps_offset", 0, isOffset, "a whole number ≥ 0"),
    predictionType: choice(fields, "prediction_type", "epsilon", predictionTypes),
    spacing: choice(fields, "timestep_spacing", "leading", spacings),
  };
}

/** ᾱ_t = Π_{s ≤ t} (1 − β_s) for all training timesteps, in f64.
 *  @see Ho et al. 2020, arXiv:2006.11239 §2; zero terminal SNR: Lin et al. 2023, arXiv:2305.08891 Algorithm 1 */
export function alphasCumprod(config: SchedulerConfig): Float64Array {
  const betas = config.trainedBetas ?? makeBetas(config);
  const alphaBar = new Float64Array(betas.length);
  let product = 1;
  for (const [t, beta] of betas.entries()) alphaBar[t] = product *= 1 - beta;
  if (!config.rescaleBetasZeroSnr) return alphaBar;
  // √ᾱ is shifted so that its last value is 0, and scaled so that its first one stays.
  const first = Math.sqrt(alphaBar[0]!);
  const last = Math.sqrt(alphaBar.at(-1)!);
  return alphaBar.map((a) => ((Math.sqrt(a) - last) * (first / (first - last))) ** 2);
}

/** ᾱ below timestep 0, where the last step ends. */
export function finalAlphaCumprod(config: SchedulerConfig, alphaBar: Float64Array): number {
  return config.setAlphaToOne ? 1 : alphaBar[0]!;
}

/** The T training timesteps a run of T steps visits, noisiest first, as diffusers' DDIMScheduler picks them.
 *  @throws {UsageError} T is not a whole number in 1 … training steps, or the offset leads past the last timestep
 *  @see Lin et al. 2023, arXiv:2305.08891 Table 2 */
export function timesteps(config: SchedulerConfig, steps: number, spacing = config.spacing): number[] {
  const n = config.trainSteps;
  if (!Number.isInteger(steps) || steps < 1 || steps > n) {
    throw new UsageError(
      `steps ${steps}: a run takes 1 to ${n} whole steps`,
      `the model was trained on ${n} noise levels`,
    );
  }
  const k = Array.from({ length: steps }, (_, i) => i);
  if (spacing === "trailing") {
    // As NumPy's arange does it, which for some T (61 is the first) yields a timestep −1 too many, dropped here.
    const delta = n - n / steps - n;
    return k.map((i) => roundHalfEven(n + i * delta) - 1);
  }
  if (spacing === "linspace") {
    const delta = steps > 1 ? (n - 1) / (steps - 1) : 0;
    return k.map((i) => (i > 0 && i === steps - 1 ? n - 1 : roundHalfEven(i * delta))).reverse();
  }
  const leading = k.map((i) => i * Math.floor(n / steps) + config.stepsOffset).reverse();
  if (leading[0]! >= n) {
    throw new UsageError(
      `steps ${steps}: leading spacing with steps_offset ${config.stepsOffset} starts at timestep ${leading[0]!}, ` +
        `the model's last one is ${n - 1}`,
      `ask for fewer steps, or for trailing spacing`,
    );
  }
  return leading;
}

/** Timesteps and noise levels of a run.
 *
 *  A step goes from ᾱ(t_i) to ᾱ(t_{i+1}), the last one to the final ᾱ. diffusers' DDIM goes to ᾱ(t_i − ⌊N/T⌋) instead,
 *  which is the same for leading spacing and whenever T divides N; elsewhere it hands the model a latent whose noise is
 *  not that of the timestep it is told.
 *  @throws {UsageError} see {@link timesteps}; or a level has ᾱ = 0, from which ε tells nothing about the image */
export function makeSchedule(config: SchedulerConfig, steps: number, spacing = config.spacing): Schedule {
  const alphaBar = alphasCumprod(config);
  const visited = timesteps(config, steps, spacing);
  const final = finalAlphaCumprod(config, alphaBar);
  const levels = [...visited.map((t) => alphaBar[t]!), final];
  const blind = levels.findIndex((a) => !(a > 0));
  if (blind >= 0) {
    throw new UsageError(
      `timestep ${visited[blind]}: ᾱ is ${levels[blind]}, pure noise, where a DDIM step divides by √ᾱ`,
      "rescale_betas_zero_snr leaves no signal at the last timestep: use leading spacing, which does not visit it",
    );
  }
  return { timesteps: visited, levels, alphaBar };
}

function makeBetas({ betaSchedule, betaStart, betaEnd, trainSteps: n }: SchedulerConfig): number[] {
  const line = (from: number, to: number) =>
    Array.from({ length: n }, (_, t) => (n > 1 ? from + ((to - from) * t) / (n - 1) : from));
  switch (betaSchedule) {
    case "linear":
      return line(betaStart, betaEnd);
    case "scaled_linear":
      return line(Math.sqrt(betaStart), Math.sqrt(betaEnd)).map((root) => root * root);
    case "squaredcos_cap_v2": {
      // Nichol & Dhariwal 2021, arXiv:2102.09672 eq. 17; β capped at 0.999.
      const level = (u: number) => Math.cos((((u + 0.008) / 1.008) * Math.PI) / 2) ** 2;
      return Array.from({ length: n }, (_, t) => Math.min(1 - level((t + 1) / n) / level(t / n), 0.999));
    }
  }
}

/** To the nearest integer, halves to the even one, as NumPy rounds. */
function roundHalfEven(x: number): number {
  const floor = Math.floor(x);
  if (x - floor !== 0.5) return Math.round(x);
  return floor % 2 === 0 ? floor : floor + 1;
}

function field<T>(
  fields: Readonly<Record<string, unknown>>,
  key: string,
  absent: T,
  fits: (value: unknown) => value is T,
  wants: string,
): T {
  const value = fields[key] ?? absent;
  if (fits(value)) return value;
  throw new FileError(`scheduler_config.json: ${key} is ${JSON.stringify(value)}, not ${wants}`);
}

function choice<const T extends string>(
  fields: Readonly<Record<string, unknown>>,
  key: string,
  absent: T,
  allowed: readonly T[],
): T {
  return field<T>(fields, key, absent, (v): v is T => allowed.includes(v as T), `one of ${allowed.join(", ")}`);
}

const isBoolean = (v: unknown): v is boolean => typeof v === "boolean";
const isBeta = (v: unknown): v is number => typeof v === "number" && v >= 0 && v < 1;
const isCount = (v: unknown): v is number => Number.isSafeInteger(v) && (v as number) >= 1;
const isOffset = (v: unknown): v is number => v === 0 || isCount(v);
const isBetas = (v: unknown): v is number[] => Array.isArray(v) && v.length > 0 && v.every(isBeta);
