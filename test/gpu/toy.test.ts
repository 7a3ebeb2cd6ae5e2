import { describe, expect, it } from "vitest";
import { runToy, type ToyRequest } from "../../src/pipeline/toy.ts";
import { halves, mixture, quantileStarts, twoPeaks } from "../../src/w2sd/toy.ts";
import { gaussianMixture, guided, sampleReference, type Denoiser } from "../reference-w2sd.ts";
import { testGpu } from "../support/adapter.ts";
import { closeAfterTests } from "../support/op.ts";

closeAfterTests();

// The GPU runs in f32: 148 evaluations, each rounding once or twice at values of about 1, stay within 1e-3; in practice within 1e-5.
const gaussian = {
  strong: mixture([1], [1], 0.5),
  weak: mixture([0], [1], 0.5),
  start: Float64Array.of(-1.5, -0.5, 0, 0.7, 2),
  steps: 50,
};
const peaks = (left: number) => twoPeaks([-4, 4], left, 0.8);
const mixtures = { strong: peaks(0.3), weak: peaks(0.1), start: quantileStarts(4001), steps: 50 };

/** The same request through the plain loop. */
function reference({ strong, weak, method, w = 2, start, ...rest }: ToyRequest): Float64Array {
  const [s, k] = [strong, weak].map((m) =>
    gaussianMixture(
      m.means.map((mean) => [mean]),
      m.weights,
      m.sd,
    ),
  ) as [Denoiser, Denoiser];
  const given = Object.fromEntries(Object.entries(rest).filter(([, v]) => v !== undefined)) as { steps: number };
  if (method === "autoguidance") return sampleReference(start, { ...given, main: guided(s, k, w) });
  return sampleReference(start, { ...given, main: s, ...(method === "w2sd" ? { strong: s, weak: k } : {}) });
}

const run = async (request: ToyRequest) => runToy(await testGpu(), request);

describe("the sampler on a Gaussian, against the published numbers", () => {
  it.each([
    ["strong (DDIM)", { ...gaussian, method: "ddim" }, [0.2453, 0.7239, 0.9632, 1.2982, 1.9204]],
    [
      "ideal (DDIM, mean 2)",
      { ...gaussian, strong: mixture([2], [1], 0.5), method: "ddim" },
      [1.2085, 1.6871, 1.9264, 2.2614, 2.8836],
    ],
    ["W2SD exact", { ...gaussian, method: "w2sd" }, [1.1966, 1.6574, 1.8879, 2.2105, 2.8096]],
  ] as [string, ToyRequest, number[]][])("%s", async (_, request, expected) => {
    const x = await run(request);
    expected.forEach((e, i) => expect(Math.abs(x[i]! - e)).toBeLessThan(1e-3));
  });
});

describe("the sampler on two peaks, against the published numbers", () => {
  it.each([
    ["weak (DDIM)", { ...mixtures, strong: mixtures.weak, method: "ddim" }, [0.1415, -3.986, 3.825]],
    ["strong (DDIM)", { ...mixtures, method: "ddim" }, [0.3349, -3.957, 3.883]],
    ["W2SD exact", { ...mixtures, method: "w2sd" }, [0.4881, -4.265, 4.141]],
  ] as [string, ToyRequest, [number, number, number]][])("%s", async (_, request, [left, meanLeft, meanRight]) => {
    const found = halves(await run(request));
    expect(Math.abs(found.left - left)).toBeLessThan(1e-3);
    expect(Math.abs(found.meanLeft - meanLeft)).toBeLessThan(1e-3);
    expect(Math.abs(found.meanRight - meanRight)).toBeLessThan(1e-3);
  });
});

describe("the GPU does what the plain f64 loop does", () => {
  const variants: Partial<ToyRequest>[] = [
    { inversion: "official" },
    { query: "aligned" },
    { query: "cached" },
    { alpha: 0.5 },
    { alpha: -0.25 },
    { repeats: 3, lambda: 11 },
    { lambda: 0 },
    { method: "autoguidance", w: 2 },
  ];
  it.each(variants.map((v) => [JSON.stringify(v), v] as const))("%s", async (_, variant) => {
    const request: ToyRequest = { ...gaussian, method: "w2sd", ...variant, steps: 20 };
    const x = await run(request);
    reference(request).forEach((e, i) => expect(Math.abs(x[i]! - e)).toBeLessThan(2e-5 * Math.max(1, Math.abs(e))));
  });
});

it("one read-back and one submit per evaluation", async () => {
  const gpu = await testGpu();
  const before = { ...gpu.counters };
  await run({ ...gaussian, method: "w2sd", steps: 10 });
  expect(gpu.counters.readbacks - before.readbacks).toBe(1);
  expect(gpu.counters.submits - before.submits).toBe(10 + 2 * 9);
});
