// Products of the UNet and the text encoder. node bench/kernels/run.mjs matmul [f32|f16]
import { matmul } from "../../src/kernels/matmul.ts";
import { random } from "../../test/support/tensor.ts";
import { tolerance } from "../../test/support/tolerance.ts";
import { bench, type Candidate } from "./time.ts";

const dtype = process.argv[2] === "f16" ? "f16" : "f32";

function candidate(M: number, K: number, N: number, weightDtype: "f32" | "f16" = dtype): Candidate {
  const [x, weight] = [random([M, K], dtype, 1), random([K, N], weightDtype, 2)];
  const y = matmul.output({ x, weight }, {});
  const samples = Array.from({ length: 200 }, (_, i) => {
    const [m, n] = [(i * 7919) % M, (i * 104729) % N];
    let s = 0;
    for (let k = 0; k < K; k++) s += x.data[m * K + k]! * weight.data[k * N + n]!;
    return [m * N + n, s] as const;
  });
  return {
    name: `matmul ${dtype} x[${M}, ${K}] w ${weightDtype}[${K}, ${N}]`,
    launch: matmul.launch({ x, weight }, y, {}),
    ...{ inputs: { x, weight }, y, samples, bound: tolerance(dtype, K), flop: 2 * M * K * N },
  };
}

await bench([
  candidate(512, 512, 512),
  candidate(1024, 320, 1280),
  candidate(1024, 1280, 320),
  candidate(77, 768, 768),
  candidate(1, 1280, 1280),
  candidate(1024, 320, 320, "f16"),
  candidate(257, 77, 40),
]);
