import { describe, expect, it } from "vitest";
import { checkPair, type ModelFacts } from "../../src/pipeline/model.ts";
import { planRun, type GenerateRequest, type ReflectionRequest } from "../../src/pipeline/request.ts";
import { nfe } from "../../src/w2sd/legs.ts";
import { sdxlScheduler } from "../../src/w2sd/schedule.ts";

const facts: ModelFacts = {
  name: "model",
  latentChannels: 4,
  sampleSize: 64,
  unetFactor: 8,
  vaeFactor: 8,
  vaeScaling: 0.18215,
  scheduler: sdxlScheduler,
};

const plan = (request: Partial<GenerateRequest>) => planRun({ prompt: "a cat", ...request }, facts);

describe("what a run costs, before anything is loaded: T = 50, λ = 49", () => {
  it.each<[string, ReflectionRequest, number]>([
    // Both branches of every leg: what the published code evaluates whatever the scales. Here only scales that need them do.
    ["both branches on every leg", { strong: { guidanceScale: 5.5 }, weak: { guidanceScale: 2 } }, 296],
    ["the weight gap: 1 and 1", {}, 198],
    ["the guidance gap: 5.5 and 0", { strong: { guidanceScale: 5.5 }, weak: { guidanceScale: 0 } }, 247],
    ["the guidance gap: 5.5 and 1", { strong: { guidanceScale: 5.5 }, weak: { guidanceScale: 1 } }, 247],
  ])("%s", (_, reflection, branches) => {
    const { rows, legs } = plan({ steps: 50, guidanceScale: 5.5, reflection: { ...reflection, lambda: 49 } });
    expect(nfe(rows)).toEqual({ main: 50, down: 49, up: 49, branches });
    expect(rows).toHaveLength(148);
    expect(legs.map((l) => l.leg)).toEqual(["main", "down", "up"]);
  });

  it("plain guidance: 50 calls, 100 branches", () => {
    expect(nfe(plan({ steps: 50, guidanceScale: 5.5 }).rows)).toEqual({ main: 50, down: 0, up: 0, branches: 100 });
  });

  it("the equal-cost comparison: 25 + 2·12 = 49 calls", () => {
    expect(plan({ steps: 25, reflection: { lambda: 12 } }).rows).toHaveLength(49);
  });

  it("nothing reflected is plain sampling", () => {
    expect(plan({ steps: 50, reflection: { lambda: 0 } })).toEqual(plan({ steps: 50 }));
    expect(nfe(plan({ steps: 1, reflection: {} }).rows)).toMatchObject({ main: 1, down: 0, up: 0 });
  });

  it("repeats", () => {
    const { rows } = plan({ steps: 50, guidanceScale: 1, reflection: { lambda: 10, repeats: 3 } });
    expect(nfe(rows)).toEqual({ main: 50, down: 30, up: 30, branches: 110 });
  });
});

describe("a leg asks one branch where one is enough", () => {
  it.each([
    [1, ["a cat"]],
    [0, ["blurry"]],
    [5.5, ["blurry", "a cat"]],
    [-1, ["blurry", "a cat"]],
  ])("guidance scale %d", (guidanceScale, prompts) => {
    const request = { negativePrompt: "blurry", reflection: { weak: { guidanceScale } } };
    expect(plan(request).legs[2]!.evaluations[0]!.prompts).toEqual(prompts);
  });

  it("a weak prompt is the weak leg's alone", () => {
    const asked = plan({ reflection: { weak: { prompt: "a dog" } } }).legs.map((l) => l.evaluations[0]!.prompts);
    expect(asked).toEqual([["", "a cat"], ["a cat"], ["a dog"]]);
  });
});

describe("impossible requests, by library", () => {
  it.each<[string, Partial<GenerateRequest>, RegExp]>([
    ["no steps", { steps: 0 }, /steps 0/],
    ["half a step", { steps: 2.5 }, /steps 2.5/],
    ["steps that are none", { steps: NaN }, /steps NaN/],
    ["λ = steps", { steps: 20, reflection: { lambda: 20 } }, /lambda 20 with 20 steps: 0 to 19/],
    ["λ that is none", { reflection: { lambda: NaN } }, /lambda NaN/],
    ["a scale that is none", { guidanceScale: NaN }, /guidance scale NaN of the main leg/],
    ["a strong scale that is none", { reflection: { strong: { guidanceScale: NaN } } }, /NaN of the down leg/],
    ["a weak scale without end", { reflection: { weak: { guidanceScale: Infinity } } }, /Infinity of the up leg/],
    ["α that is none", { reflection: { alpha: NaN } }, /alpha NaN/],
    ["no repeats", { reflection: { repeats: 0 } }, /repeats 0/],
    ["a size that does not divide", { width: 100 }, /width 100 is no positive multiple of 64/],
    ["a size that is none", { height: NaN }, /height NaN is no positive multiple of 64/],
    ["a seed below 0", { seed: -1 }, /seed -1/],
    ["a seed that is none", { seed: NaN }, /seed NaN/],
    ["two ways at once", { autoguidance: { scale: 2 }, reflection: {} }, /exclude each other/],
    ["a weak side that is not there", { side: "weak" }, /no weak model/],
    [
      "latents of another size",
      { latents: new Float32Array(8) },
      /8 elements, the picture wants 16384, \[1, 4, 64, 64\]/,
    ],
    ["latents that are none", { latents: new Float32Array(16384).fill(NaN) }, /NaN at element 0/],
  ])("%s", (_, request, said) => {
    expect(() => plan(request)).toThrow(said);
  });

  it.each<[string, Partial<ModelFacts>, RegExp]>([
    ["latent channels", { latentChannels: 16 }, /latent channels is 4 in model and 16 in other/],
    ["the VAE's factor", { vaeFactor: 16 }, /factor \(pixels per latent\) is 8 in model and 16 in other/],
    ["the VAE's scale", { vaeScaling: 0.13025 }, /scaling factor is 0.18215 in model and 0.13025 in other/],
    ["the schedule", { scheduler: { ...sdxlScheduler, trainSteps: 4000 } }, /trainSteps is 1000 in model and 4000/],
    ["zero SNR", { scheduler: { ...sdxlScheduler, rescaleBetasZeroSnr: true } }, /zero_snr is off in model and on in/],
  ])("a pair that differs in %s", (_, other, said) => {
    expect(() => checkPair(facts, { ...facts, name: "other", ...other })).toThrow(said);
  });

  it("a pair may differ in what its networks predict, and in the size they were trained on", () => {
    const other = {
      ...facts,
      sampleSize: 96,
      scheduler: { ...sdxlScheduler, predictionType: "v_prediction" as const },
    };
    expect(() => checkPair(facts, other)).not.toThrow();
  });
});
