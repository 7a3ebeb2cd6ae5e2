// Attention as the UNet (512² pictures have 4096 tokens at the first level), the text encoder and the VAE ask for it. node bench/kernels/run.mjs attention [f32|f16]
import { attention } from "../../src/kernels/attention.ts";
import { attention as reference } from "../../test/reference/norm-attention.ts";
import { random, tensor } from "../../test/support/tensor.ts";
import { tolerance } from "../../test/support/tolerance.ts";
import { bench, type Candidate } from "./time.ts";

const dtype = process.argv[2] === "f16" ? "f16" : "f32";

function candidate(
  name: string,
  B: number,
  heads: number,
  Tq: number,
  Tk: number,
  D: number,
  causal = false,
): Candidate {
  const width = heads * D;
  const [q, k, v] = [
    random([B, Tq, width], dtype, 1),
    random([B, Tk, width], dtype, 2),
    random([B, Tk, width], dtype, 3),
  ];
  const y = attention.output({ q, k, v }, { heads, causal });
  // The last query sees every key, causal or not.
  const row = (b: number) => (b * Tq + Tq - 1) * width;
  const last = Array.from({ length: B }, (_, b) => [...q.data.subarray(row(b), row(b) + width)]).flat();
  const shape = { B, Bk: B, Tq: 1, Tk: Math.min(Tk, causal ? Tq : Tk), heads, D };
  const values = reference(tensor([B, 1, width], dtype, last).data, k.data, v.data, shape);
  return {
    name: `${name} ${dtype} q[${B}, ${Tq}, ${heads}·${D}] k[${B}, ${Tk}, ${heads}·${D}]`,
    launch: attention.launch({ q, k, v }, y, { heads, causal }),
    inputs: { q, k, v },
    y,
    samples: Array.from(values, (value, i) => [row(Math.floor(i / width)) + (i % width), value] as const),
    bound: tolerance(dtype, Math.sqrt(Tk) + 2 * (D + 8)),
    flop: (causal ? 2 : 4) * B * heads * Tq * Tk * D,
  };
}

await bench([
  candidate("self", 1, 8, 1024, 1024, 40),
  candidate("self", 1, 8, 1024, 1024, 80),
  candidate("self", 2, 8, 256, 256, 80),
  candidate("self", 2, 8, 64, 64, 160),
  candidate("cross", 1, 8, 1024, 77, 40),
  candidate("cross", 2, 8, 64, 77, 160),
  candidate("text", 1, 12, 77, 77, 64, true),
  candidate("vae", 1, 1, 256, 256, 512),
]);
