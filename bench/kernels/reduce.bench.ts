// Reductions of rows and groups on SD1.5's shapes, without and with subgroups. node bench/kernels/run.mjs reduce [f32|f16]
import { groupNormStats } from "../../src/kernels/group-norm-stats.ts";
import { noFeatures, type Kernel, type Specs } from "../../src/kernels/kernel.ts";
import { layerNorm } from "../../src/kernels/layer-norm.ts";
import { storageBytes } from "../../src/tensor.ts";
import * as reference from "../../test/reference/norm-attention.ts";
import { random, type HostTensor } from "../../test/support/tensor.ts";
import { tolerance, unitRoundoff } from "../../test/support/tolerance.ts";
import { bench, type Candidate } from "./time.ts";

const dtype = process.argv[2] === "f16" ? "f16" : "f32";

/** Both variants of one op; every value is checked. */
function candidates<I extends Specs, A>(
  kernel: Kernel<I, A>,
  inputs: I & Record<string, HostTensor>,
  attributes: A,
  expected: Float64Array,
  bound: (e: number) => number,
): Candidate[] {
  const y = kernel.output(inputs, attributes);
  const x = inputs["x"]!;
  return [noFeatures, { subgroups: true }].map((features) => ({
    name: `${kernel.name} ${dtype} x[${x.shape.join(", ")}]${features.subgroups ? " subgroups" : ""}`,
    launch: kernel.launch(inputs, y, attributes, features),
    inputs,
    y,
    samples: Array.from(expected, (value, i) => [i, value] as const),
    bound,
    bytes: storageBytes(x),
  }));
}

function layerNorms(rows: number, D: number): Candidate[] {
  const [x, weight, bias] = [random([rows, D], dtype, 1), random([D], "f32", 2), random([D], "f32", 3)];
  const expected = reference.layerNorm(x.data, weight.data, bias.data, 1e-5);
  return candidates(layerNorm, { x, weight, bias }, { eps: 1e-5 }, expected, tolerance(dtype, 16, 2));
}

function groupStats(pixels: number, C: number): Candidate[] {
  const x = random([1, pixels, C], dtype, 1);
  const expected = reference.groupNormStats(x.data, [1, pixels, C], 32, 1e-5);
  const bound = (e: number) => unitRoundoff.f32 * (4 * Math.abs(e) + 32);
  return candidates(groupNormStats, { x }, { groups: 32, eps: 1e-5 }, expected, bound);
}

await bench([
  ...layerNorms(4096, 320),
  ...layerNorms(1024, 640),
  ...layerNorms(128, 1280),
  ...layerNorms(154, 768),
  ...groupStats(4096, 320),
  ...groupStats(1024, 1920),
  ...groupStats(64, 1280),
  ...groupStats(16384, 512),
]);
