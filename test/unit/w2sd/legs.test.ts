import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { UsageError } from "../../../src/errors.ts";
import {
  branches,
  ddimStep,
  legRows,
  nfe,
  refuseReflection,
  refuseReflectionOf,
  type Leg,
  type LegRow,
  type LegSpec,
  type ReflectionOptions,
  type SamplerOptions,
} from "../../../src/w2sd/legs.ts";
import { readSchedulerConfig, sdxlScheduler, type PredictionType } from "../../../src/w2sd/schedule.ts";
import { halves, quantileStarts } from "../../../src/w2sd/toy.ts";
import { gaussian, gaussianMixture, guided, sampleReference, sdAlphaBar, type Denoiser } from "../../reference-w2sd.ts";

/** A leg's model: its two branches as noise predictions. */
interface Model {
  readonly conditional: Denoiser;
  readonly unconditional: Denoiser;
}

const alphaBars = Float64Array.from({ length: 1000 }, (_, t) => sdAlphaBar(t));

/** Executes rows as the GPU does: every number it uses beside the latents is in the row. The networks know timesteps only,
 *  and return what their prediction type says. */
function execute(
  rows: readonly LegRow[],
  models: Record<Leg, Model>,
  types: Record<Leg, PredictionType>,
  start: Float64Array,
): Float64Array {
  const latents = { x: start, y: new Float64Array(start.length).fill(NaN) };
  for (const row of rows) {
    const query = latents[row.query];
    const output = (denoiser: Denoiser) =>
      denoiser(query, alphaBars[row.timestep]!).map((e, k) => asPrediction(types[row.leg], e, query[k]!, row.timestep));
    const unconditional = output(models[row.leg].unconditional);
    const conditional = output(models[row.leg].conditional);
    const guidedOutput = unconditional.map((u, k) => u + row.guidanceScale * (conditional[k]! - u));
    const source = latents[row.source];
    const base = latents.x;
    latents[row.target] = source.map((s, k) => {
      const eps = row.ex * query[k]! + row.em * guidedOutput[k]!;
      const moved = row.cx * s + row.ce * eps;
      return row.strength === 1 ? moved : base[k]! + row.strength * (moved - base[k]!);
    });
  }
  return latents.x;
}

function asPrediction(type: PredictionType, eps: number, x: number, timestep: number): number {
  const a = alphaBars[timestep]!;
  const x0 = (x - Math.sqrt(1 - a) * eps) / Math.sqrt(a);
  return { epsilon: eps, v_prediction: Math.sqrt(a) * eps - Math.sqrt(1 - a) * x0, sample: x0 }[type];
}

const spec = (guidanceScale = 1, predictionType: PredictionType = "epsilon"): LegSpec => ({
  guidanceScale,
  predictionType,
});
const run = (steps: number, reflection?: Partial<ReflectionOptions>, main = spec()): SamplerOptions => ({
  scheduler: sdxlScheduler,
  steps,
  main,
  ...(reflection && { reflection: { down: spec(), up: spec(), ...reflection } }),
});
const only = (denoiser: Denoiser): Model => ({ conditional: denoiser, unconditional: denoiser });
const peaks = (left: number) => gaussianMixture([[-4], [4]], [left, 1 - left], 0.8);

/** Models of three legs that differ in everything. */
const models: Record<Leg, Model> = {
  main: { conditional: gaussian(1, 0.5), unconditional: gaussian(0.4, 0.7) },
  down: { conditional: peaks(0.3), unconditional: gaussian(-0.5, 0.9) },
  up: { conditional: peaks(0.1), unconditional: gaussian(0.2, 0.6) },
};

const expectClose = (actual: Float64Array, expected: Float64Array, relative = 1e-12) => {
  const scale = Math.max(1, ...expected.map(Math.abs));
  actual.forEach((value, k) => expect(Math.abs(value - expected[k]!)).toBeLessThanOrEqual(relative * scale));
};

describe("rows, executed, equal the plain loop to 1e-12", () => {
  const start = quantileStarts(17);
  const cases = (["exact", "official"] as const).flatMap((inversion) =>
    (["published", "aligned", "cached"] as const).flatMap((query) =>
      [1, 0.5, -0.3, 1.4].flatMap((alpha) => [1, 2, 3].map((repeats) => ({ inversion, query, alpha, repeats }))),
    ),
  );
  it.each(cases)("$inversion $query α=$alpha ×$repeats", ({ inversion, query, alpha, repeats }) => {
    const rows = legRows(
      run(20, { down: spec(1.5), up: spec(0.5), inversion, query, alpha, repeats, lambda: 13 }, spec(5.5)),
    );
    const types = { main: "epsilon", down: "epsilon", up: "epsilon" } as const;
    expectClose(
      execute(rows, models, types, start),
      sampleReference(start, {
        steps: 20,
        main: guided(models.main.conditional, models.main.unconditional, 5.5),
        strong: guided(models.down.conditional, models.down.unconditional, 1.5),
        weak: guided(models.up.conditional, models.up.unconditional, 0.5),
        lambda: 13,
        inversion,
        query,
        alpha,
        repeats,
      }),
    );
  });

  const type = fc.constantFrom<PredictionType>("epsilon", "v_prediction", "sample");
  const scale = fc.double({ min: -1, max: 3, noNaN: true });
  it("for any steps, λ, scales and prediction types of the legs", () => {
    fc.assert(
      fc.property(
        fc.record({
          steps: fc.constantFrom(1, 2, 5, 10, 20),
          lambdaShare: fc.double({ min: 0, max: 1, noNaN: true }),
          spacing: fc.constantFrom("leading" as const, "trailing" as const),
          setAlphaToOne: fc.boolean(),
          inversion: fc.constantFrom("exact" as const, "official" as const),
          query: fc.constantFrom("published" as const, "aligned" as const, "cached" as const),
          alpha: fc.double({ min: -0.5, max: 1.5, noNaN: true }),
          types: fc.record({ main: type, down: type, up: type }),
          scales: fc.record({ main: scale, down: scale, up: scale }),
        }),
        ({ steps, lambdaShare, spacing, setAlphaToOne, inversion, query, alpha, types, scales }) => {
          const lambda = Math.round(lambdaShare * (steps - 1));
          const leg = (name: Leg) => spec(scales[name], types[name]);
          const rows = legRows({
            scheduler: { ...sdxlScheduler, setAlphaToOne },
            steps,
            spacing,
            main: leg("main"),
            reflection: { down: leg("down"), up: leg("up"), lambda, inversion, query, alpha },
          });
          const denoiser = (name: Leg) => guided(models[name].conditional, models[name].unconditional, scales[name]);
          const expected = sampleReference(start, {
            steps,
            spacing,
            main: denoiser("main"),
            strong: denoiser("down"),
            weak: denoiser("up"),
            lambda,
            inversion,
            query,
            alpha,
            ...(setAlphaToOne && { finalAlphaBar: 1 }),
          });
          // Reading ε out of x0 divides by √(1−ᾱ) ≥ 0.03, which amplifies the rounding.
          const relative = Object.values(types).includes("sample") ? 1e-10 : 1e-12;
          expectClose(execute(rows, models, types, start), expected, relative);
        },
      ),
      { numRuns: 60, seed: 1 },
    );
  });
});

describe("rows reproduce the golden runs", () => {
  const epsilon = { main: "epsilon", down: "epsilon", up: "epsilon" } as const;
  const play = (start: Float64Array, main: Denoiser, up?: Denoiser) =>
    execute(legRows(run(50, up && {})), { main: only(main), down: only(main), up: only(up ?? main) }, epsilon, start);

  it.each([
    ["strong", gaussian(1, 0.5), undefined, [0.2453, 0.7239, 0.9632, 1.2982, 1.9204]],
    ["ideal", gaussian(2, 0.5), undefined, [1.2085, 1.6871, 1.9264, 2.2614, 2.8836]],
    ["W2SD", gaussian(1, 0.5), gaussian(0, 0.5), [1.1966, 1.6574, 1.8879, 2.2105, 2.8096]],
  ] as const)("Gaussians: %s", (_, main, up, expected) => {
    const x = play(Float64Array.of(-1.5, -0.5, 0, 0.7, 2), main, up);
    expected.forEach((value, k) => expect(x[k]).toBeCloseTo(value, 4));
  });

  it.each([
    ["weak", peaks(0.1), undefined, [0.1415, -3.986, 3.825]],
    ["strong", peaks(0.3), undefined, [0.3349, -3.957, 3.883]],
    ["W2SD", peaks(0.3), peaks(0.1), [0.4881, -4.265, 4.141]],
  ] as const)("mixture: %s", (_, main, up, [left, meanLeft, meanRight]) => {
    const result = halves(play(quantileStarts(4001), main, up));
    expect(result.left).toBeCloseTo(left, 4);
    expect(result.meanLeft).toBeCloseTo(meanLeft, 3);
    expect(result.meanRight).toBeCloseTo(meanRight, 3);
  });

  it("one reflection at t = 501", () => {
    const rows = legRows(run(50, {}));
    const [down, up] = rows.filter((row) => row.step === 24);
    const e1 = gaussian(1, 0.5)(Float64Array.of(0.5), down!.alphaBar)[0]!;
    const y = down!.cx * 0.5 + down!.ce * e1;
    const e2 = gaussian(0, 0.5)(Float64Array.of(y), up!.alphaBar)[0]!;
    expect([down!.timestep, up!.timestep]).toEqual([501, 501]);
    expect(e1).toBeCloseTo(-0.02617809, 8);
    expect(y).toBeCloseTo(0.52573189, 8);
    expect(e2).toBeCloseTo(0.56396153, 8);
    expect(up!.cx * y + up!.ce * e2).toBeCloseTo(0.5323321, 8);
  });

  it("cached queries with W = S give plain DDIM, to rounding", () => {
    const start = quantileStarts(101);
    const same = only(peaks(0.3));
    const all = { main: same, down: same, up: same };
    expectClose(
      execute(legRows(run(50, { query: "cached" })), all, epsilon, start),
      execute(legRows(run(50)), all, epsilon, start),
    );
  });
});

describe("the arithmetic of a step", () => {
  it("up undoes down with the same ε, and the shift is √ā·(σ̃ − σ̃')·(e2 − e1)", () => {
    const level = fc.double({ min: 0.004, max: 0.9992, noNaN: true });
    const value = fc.double({ min: -5, max: 5, noNaN: true });
    fc.assert(
      fc.property(level, level, value, value, value, (a, b, x, e1, e2) => {
        const [down, up] = [ddimStep(a, b), ddimStep(b, a)];
        const reflected = up.cx * (down.cx * x + down.ce * e1) + up.ce * e2;
        const sigma = (l: number) => Math.sqrt((1 - l) / l);
        const shift = Math.sqrt(a) * (sigma(a) - sigma(b)) * (e2 - e1);
        expect(Math.abs(reflected - x - shift)).toBeLessThan(1e-12);
      }),
    );
  });

  it("official coefficients gain signal and change the noise level as published code does", () => {
    // Same ε on both legs: what the reflection does to a latent √ā·x0 + √(1−ā)·ε, as gain of the one and ratio of the other.
    const effect = (timestep: number) => {
      const [down, up] = legRows(run(50, { inversion: "official" })).filter((row) => row.timestep === timestep);
      const a = down!.alphaBar;
      const signal = up!.cx * down!.cx * Math.sqrt(a);
      const noise = up!.cx * (down!.cx * Math.sqrt(1 - a) + down!.ce) + up!.ce;
      return { gain: signal / Math.sqrt(a) - 1, ratio: noise / Math.sqrt(1 - a) };
    };
    const gains = Array.from({ length: 49 }, (_, i) => effect(981 - 20 * i).gain);
    expect(gains[0]).toBeCloseTo(0.0035, 4);
    expect(Math.min(...gains)).toBeCloseTo(0.001, 3);
    expect(gains[48]).toBeCloseTo(0.0087, 4);
    for (let t = 981; t >= 281; t -= 20) {
      expect(effect(t).ratio).toBeGreaterThan(1.00005);
      expect(effect(t).ratio).toBeLessThan(1.00045);
    }
    expect(effect(81).ratio).toBeCloseTo(1.016, 3);
    expect(effect(41).ratio).toBeCloseTo(1.2, 2);
    expect(effect(21).ratio).toBeCloseTo(0.38, 2);
  });

  it("rows say which latent is read, asked, and written", () => {
    const shape = (query: "published" | "aligned" | "cached") =>
      legRows(run(5, { query, lambda: 1, alpha: 0.5 }))
        .slice(0, 4)
        .map(
          (row) => `${row.step} ${row.leg} ${row.query}@${row.timestep} ${row.source}→${row.target} ·${row.strength}`,
        );
    const down = "0 down x@801 x→y ·1";
    const main = ["0 main x@801 x→x ·1", "1 main x@601 x→x ·1"];
    expect(shape("published")).toEqual([down, "0 up y@801 y→x ·0.5", ...main]);
    expect(shape("aligned")).toEqual([down, "0 up y@601 y→x ·0.5", ...main]);
    expect(shape("cached")).toEqual([down, "0 up x@801 y→x ·0.5", ...main]);
  });

  it("without reflection there is MAIN only, ending at the final ᾱ", () => {
    const rows = legRows({ ...run(50), scheduler: { ...sdxlScheduler, setAlphaToOne: true } });
    expect(rows.map((row) => row.leg)).toEqual(Array(50).fill("main"));
    expect(rows[49]!.ce).toBeCloseTo(-Math.sqrt((1 - sdAlphaBar(1)) / sdAlphaBar(1)), 14);
  });
});

describe("nfe", () => {
  const count = (main: number, down: number, up: number, steps = 50, lambda?: number) =>
    nfe(legRows(run(steps, { down: spec(down), up: spec(up), lambda }, spec(main))));

  it("T + 2λ model calls, and 6, 4 or 5 branches a reflected step", () => {
    expect(count(5.5, 5.5, 2)).toEqual({ main: 50, down: 49, up: 49, branches: 296 });
    expect(count(5.5, 1, 1)).toEqual({ main: 50, down: 49, up: 49, branches: 198 });
    expect(count(5.5, 5.5, 0)).toEqual({ main: 50, down: 49, up: 49, branches: 247 });
    expect(count(5.5, 5.5, 1).branches).toBe(247);
    expect(nfe(legRows(run(50, undefined, spec(5.5)))).branches).toBe(100);
  });

  it("at equal cost, T = 25 and λ = 12 take 49 calls", () => {
    const { main, down, up } = count(1, 1, 1, 25, 12);
    expect(main + down + up).toBe(49);
  });

  it("each repeat adds a DOWN and an UP", () => {
    expect(nfe(legRows(run(50, { repeats: 3, lambda: 10 })))).toEqual({ main: 50, down: 30, up: 30, branches: 110 });
  });

  it("λ = 0 and one step reflect nothing", () => {
    expect(nfe(legRows(run(50, { lambda: 0 })))).toEqual({ main: 50, down: 0, up: 0, branches: 50 });
    expect(nfe(legRows(run(1, {})))).toEqual({ main: 1, down: 0, up: 0, branches: 1 });
  });

  it("a negative scale takes both branches", () => {
    expect([branches(-1.5), branches(0), branches(-0), branches(1), branches(1.0001)]).toEqual([2, 1, 1, 1, 2]);
  });
});

describe("refusals", () => {
  const refused = (options: SamplerOptions, words: RegExp) => {
    expect(() => legRows(options)).toThrow(UsageError);
    expect(() => legRows(options)).toThrow(words);
  };

  it("λ ≥ steps names both numbers", () => {
    refused(run(50, { lambda: 50 }), /lambda 50 with 50 steps: 0 to 49/);
    refused(run(8, { lambda: 49 }), /lambda 49 with 8 steps/);
  });

  it.each([-1, 1.5, NaN, Infinity])("λ %s", (lambda) => refused(run(50, { lambda }), /lambda/));
  it.each([NaN, Infinity, -Infinity])("α %s", (alpha) => refused(run(50, { alpha }), /alpha/));
  it.each([0, -1, 1.5, NaN])("%s repeats", (repeats) => refused(run(50, { repeats }), /repeats/));
  it.each([0, 1001, -3, 2.5, NaN, Infinity])("%s steps", (steps) => refused(run(steps), /steps/));
  it.each([NaN, Infinity, -Infinity])("guidance scale %s of any leg", (scale) => {
    refused(run(50, undefined, spec(scale)), /guidance scale .* of the main leg/);
    refused(run(50, { down: spec(scale) }), /guidance scale .* of the down leg/);
    refused(run(50, { up: spec(scale) }), /guidance scale .* of the up leg/);
  });
  it("unknown words", () => {
    refused(run(50, { inversion: "fixed" as never }), /inversion fixed/);
    refused(run(50, { query: "late" as never }), /query late/);
  });

  it.each([
    ["EulerAncestralDiscreteScheduler", /fresh noise/],
    ["Euler a", /fresh noise/],
    ["euler_a", /fresh noise/],
    ["DPM2 a", /fresh noise/],
    ["DPM++ 2M SDE Karras", /fresh noise/],
    ["DDPM", /fresh noise/],
    ["LCM", /few steps/],
    ["TCDScheduler", /few steps/],
    ["sdxl-turbo", /few steps/],
    ["DPM++ 2M", /several predictions/],
    ["UniPC", /several predictions/],
    ["PLMS", /several predictions/],
    ["Heun", /several predictions/],
  ])("reflection with %s", (name, because) => {
    expect(() => refuseReflection(name)).toThrow(UsageError);
    expect(() => refuseReflection(name)).toThrow(because);
  });
  it.each(["ddim", "DDIMScheduler", "Euler", "euler", "EulerDiscreteScheduler"])("not with %s", (name) => {
    expect(() => refuseReflection(name)).not.toThrow();
  });

  it("a checkpoint made for LCM, TCD or ancestral sampling, but not one whose authors recommend PNDM or DEIS", () => {
    const of = (name?: string) => () => refuseReflectionOf(readSchedulerConfig(name ? { _class_name: name } : {}));
    expect(of("LCMScheduler")).toThrow(/LCMScheduler/);
    expect(of("TCDScheduler")).toThrow(UsageError);
    expect(of("EulerAncestralDiscreteScheduler")).toThrow(UsageError);
    for (const name of ["PNDMScheduler", "DEISMultistepScheduler", "DPMSolverMultistepScheduler", "DDIMScheduler"]) {
      expect(of(name)).not.toThrow();
    }
    expect(of()).not.toThrow();
  });
});
