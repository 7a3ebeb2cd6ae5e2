import { describe, expect, it } from "vitest";
import { FileError, UsageError } from "../../../src/errors.ts";
import {
  alphasCumprod,
  finalAlphaCumprod,
  makeSchedule,
  readSchedulerConfig,
  sdxlScheduler,
  timesteps,
} from "../../../src/w2sd/schedule.ts";

const sd15 = {
  _class_name: "PNDMScheduler",
  beta_start: 0.00085,
  beta_end: 0.012,
  beta_schedule: "scaled_linear",
  num_train_timesteps: 1000,
  set_alpha_to_one: false,
  skip_prk_steps: true,
  steps_offset: 1,
  clip_sample: false,
  trained_betas: null,
};

describe("alphasCumprod", () => {
  it("Stable Diffusion's, to eight digits", () => {
    const alphaBar = alphasCumprod(readSchedulerConfig(sd15));
    const expected = {
      0: 0.99915,
      1: 0.99829603,
      21: 0.98038075,
      261: 0.65566933,
      499: 0.27766965,
      501: 0.27499907,
      521: 0.24904493,
      749: 0.05662349,
      981: 0.0057755,
      999: 0.0046601,
    };
    for (const [t, value] of Object.entries(expected)) expect(alphaBar[Number(t)]).toBeCloseTo(value, 8);
    const sigma = (t: number) => Math.sqrt((1 - alphaBar[t]!) / alphaBar[t]!);
    expect(sigma(999)).toBeCloseTo(14.614641, 5);
    expect(sigma(0)).toBeCloseTo(0.029167, 6);
  });

  // DDIMScheduler of diffusers 0.42.1, in f32: good to 1e-5, but where β is capped at 0.999, 1 − β keeps 4 digits only.
  it.each([
    ["linear", {}, [0.9999, 0.99910152, 0.07779665, 4.03583e-5]],
    ["squaredcos_cap_v2", { beta_schedule: "squaredcos_cap_v2" }, [0.99995869, 0.99967945, 0.492285, 2.428735e-9]],
    ["zero terminal SNR", { ...sd15, rescale_betas_zero_snr: true }, [0.99914998, 0.99452484, 0.24101864]],
    ["4 trained betas", { trained_betas: [0.1, 0.2, 0.3, 0.4] }, [0.9, 0.72, 0.504, 0.3024]],
  ])("%s", (_, fields, expected) => {
    const alphaBar = alphasCumprod(readSchedulerConfig(fields));
    const at = alphaBar.length === 4 ? [0, 1, 2, 3] : [0, 5, 500, 999];
    expected.forEach((value, k) => expect(alphaBar[at[k]!]! / value).toBeCloseTo(1, value < 1e-6 ? 3 : 4));
  });

  it("zero terminal SNR keeps the first level and ends at 0", () => {
    const plain = alphasCumprod(sdxlScheduler);
    const rescaled = alphasCumprod({ ...sdxlScheduler, rescaleBetasZeroSnr: true });
    expect(rescaled[0]).toBeCloseTo(plain[0]!, 14);
    expect(rescaled[999]).toBe(0);
    expect(rescaled[500]).toBeLessThan(plain[500]!);
  });

  it("the last step ends at ᾱ[0], or at 1", () => {
    const alphaBar = alphasCumprod(sdxlScheduler);
    expect(finalAlphaCumprod(sdxlScheduler, alphaBar)).toBe(alphaBar[0]);
    expect(finalAlphaCumprod({ ...sdxlScheduler, setAlphaToOne: true }, alphaBar)).toBe(1);
  });
});

describe("timesteps, as DDIMScheduler picks them", () => {
  it("leading 50: 981, 961, …, 1", () => {
    expect(timesteps(sdxlScheduler, 50)).toEqual(Array.from({ length: 50 }, (_, i) => 981 - 20 * i));
  });

  it.each([
    ["leading", 3, [667, 334, 1]],
    ["leading", 7, [853, 711, 569, 427, 285, 143, 1]],
    ["trailing", 4, [999, 749, 499, 249]],
    ["trailing", 7, [999, 856, 713, 570, 428, 285, 142]],
    ["trailing", 16, [999, 937, 874, 811, 749, 687, 624, 561, 499, 437, 374, 311, 249, 187, 124, 61]],
    ["linspace", 1, [0]],
    ["linspace", 2, [999, 0]],
    ["linspace", 7, [999, 832, 666, 500, 333, 166, 0]],
  ] as const)("%s %i", (spacing, steps, expected) => {
    expect(timesteps(sdxlScheduler, steps, spacing)).toEqual(expected);
  });

  // Σ (i+1)·t_i over all T of 1 … 999 from diffusers 0.42.1 (without the timestep −1 that it adds for 62 of the trailing T).
  it.each([
    ["leading", 45_193_435_419],
    ["trailing", 55_555_434_264],
    ["linspace", 55_499_732_870],
  ] as const)("%s, every T", (spacing, sum) => {
    let total = 0;
    for (let steps = 1; steps < 1000; steps++) {
      const list = timesteps(sdxlScheduler, steps, spacing);
      expect(list).toHaveLength(steps);
      total += list.reduce((s, t, i) => s + t * (i + 1), 0);
    }
    expect(total).toBe(sum);
  });

  it.each([0, -1, 1001, 2.5, NaN, Infinity])("refuses %s steps", (steps) => {
    expect(() => timesteps(sdxlScheduler, steps)).toThrow(UsageError);
    expect(() => timesteps(sdxlScheduler, steps)).toThrow(/1 to 1000/);
  });

  it("refuses an offset beyond the last timestep", () => {
    expect(() => timesteps(sdxlScheduler, 1000)).toThrow(/timestep 1000.* 999/);
    expect(timesteps(sdxlScheduler, 1000, "trailing")).toHaveLength(1000);
  });
});

describe("makeSchedule", () => {
  it("has a level for each timestep and one where the last step ends", () => {
    const { timesteps, levels, alphaBar } = makeSchedule(sdxlScheduler, 50);
    expect(levels).toHaveLength(51);
    expect(levels[0]).toBe(alphaBar[981]);
    expect(levels[49]).toBe(alphaBar[1]);
    expect(levels[50]).toBe(alphaBar[0]);
    expect(timesteps[49]).toBe(1);
  });

  it("refuses a level without signal, which trailing spacing visits under zero terminal SNR", () => {
    const config = { ...sdxlScheduler, rescaleBetasZeroSnr: true };
    expect(() => makeSchedule(config, 20, "trailing")).toThrow(/timestep 999: ᾱ is 0/);
    expect(makeSchedule(config, 20, "leading").levels[0]).toBeGreaterThan(0);
  });
});

describe("readSchedulerConfig", () => {
  it("reads SD1.5's and SDXL's files, which leave out defaults", () => {
    const { className, ...rest } = readSchedulerConfig(sd15);
    expect(className).toBe("PNDMScheduler");
    expect({ className: undefined, ...rest }).toEqual(sdxlScheduler);
    const sdxl = readSchedulerConfig({
      ...sd15,
      _class_name: "EulerDiscreteScheduler",
      interpolation_type: "linear",
      sample_max_value: 1,
      use_karras_sigmas: false,
      timestep_spacing: "leading",
      prediction_type: "epsilon",
    });
    expect({ ...sdxl, className: undefined }).toEqual(sdxlScheduler);
  });

  it("reads DreamShaper's DEIS file and SD2.1's v-prediction", () => {
    const deis = { ...sd15, _class_name: "DEISMultistepScheduler", solver_order: 2, solver_type: "logrho" };
    expect(readSchedulerConfig(deis).stepsOffset).toBe(1);
    expect(readSchedulerConfig({ ...sd15, prediction_type: "v_prediction" }).predictionType).toBe("v_prediction");
  });

  it("absent keys mean what they mean to DDIMScheduler", () => {
    expect(readSchedulerConfig({})).toEqual({
      ...sdxlScheduler,
      betaStart: 0.0001,
      betaEnd: 0.02,
      betaSchedule: "linear",
      setAlphaToOne: true,
      stepsOffset: 0,
    });
  });

  it.each([
    ["null", null, /not a JSON object/],
    ["an array", [], /not a JSON object/],
    ["flow matching", { _class_name: "FlowMatchEulerDiscreteScheduler" }, /FlowMatchEuler/],
    ["EDM", { _class_name: "EDMEulerScheduler" }, /EDMEuler/],
    ["clipping", { clip_sample: true }, /clip_sample/],
    ["thresholding", { thresholding: true }, /thresholding/],
    ["an unknown beta schedule", { beta_schedule: "sigmoid" }, /"sigmoid".*scaled_linear/],
    ["an unknown prediction", { prediction_type: "score" }, /"score".*v_prediction/],
    ["an unknown spacing", { timestep_spacing: "karras" }, /"karras".*trailing/],
    ["a beta of 1", { beta_end: 1 }, /beta_end is 1/],
    ["a beta as text", { beta_start: "0.1" }, /beta_start/],
    ["betas that are none", { trained_betas: [0.1, "x"] }, /trained_betas/],
    ["no betas", { trained_betas: [] }, /trained_betas/],
    ["0 training steps", { num_train_timesteps: 0 }, /num_train_timesteps/],
    ["a negative offset", { steps_offset: -1 }, /steps_offset/],
    ["a flag as text", { set_alpha_to_one: "false" }, /set_alpha_to_one/],
  ])("refuses %s", (_, json, words) => {
    expect(() => readSchedulerConfig(json)).toThrow(FileError);
    expect(() => readSchedulerConfig(json)).toThrow(words);
  });
});
