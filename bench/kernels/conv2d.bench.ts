// Convolutions of the UNet and of the autoencoders' ends. node bench/kernels/run.mjs conv2d [f32|f16]
import { conv2d } from "../../src/kernels/conv2d.ts";
import { random } from "../../test/support/tensor.ts";
import { tolerance } from "../../test/support/tolerance.ts";
import { bench, type Candidate } from "./time.ts";

const dtype = process.argv[2] === "f16" ? "f16" : "f32";

/** 3×3, padded by one. `flop` counts the taps in the padding too, as everyone does. */
function candidate(side: number, C: number, O: number, stride: 1 | 2 = 1): Candidate {
  const [x, weight] = [random([1, side, side, C], dtype, 1), random([3, 3, C, O], dtype, 2)];
  const attributes = { stride, padding: 1 };
  const y = conv2d.output({ x, weight }, attributes);
  const out = y.shape[1]!;
  const samples = Array.from({ length: 200 }, (_, k) => {
    const [i, j, o] = [(k * 7919) % out, (k * 31) % out, (k * 104729) % O];
    let s = 0;
    for (let p = 0; p < 3; p++) {
      for (let q = 0; q < 3; q++) {
        const [h, w] = [stride * i + p - 1, stride * j + q - 1];
        if (h < 0 || h >= side || w < 0 || w >= side) continue;
        for (let c = 0; c < C; c++) s += x.data[(h * side + w) * C + c]! * weight.data[((p * 3 + q) * C + c) * O + o]!;
      }
    }
    return [(i * out + j) * O + o, s] as const;
  });
  return {
    name: `conv2d ${dtype} x[1, ${side}, ${side}, ${C}] w[3, 3, ${C}, ${O}] s${stride}`,
    launch: conv2d.launch({ x, weight }, y, attributes),
    ...{
      inputs: { x, weight },
      y,
      samples,
      bound: tolerance(dtype, 9 * C),
      flop: 2 * out * out * 9 * C * O,
      unit: "FLOP",
    },
  };
}

await bench([
  candidate(32, 320, 320),
  candidate(32, 64, 64),
  candidate(8, 640, 640),
  candidate(32, 320, 320, 2),
  candidate(64, 320, 4),
  candidate(64, 4, 320),
  candidate(128, 64, 3),
  candidate(128, 3, 64),
]);
