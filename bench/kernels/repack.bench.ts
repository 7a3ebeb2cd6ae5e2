// Weights on their way to the GPU's layout; GB/s of what is written. node bench/kernels/run.mjs repack
import { repackLaunch } from "../../src/kernels/repack.ts";
import { fromHalf, tensor } from "../../test/support/tensor.ts";
import { bench, type Candidate } from "./time.ts";

function candidate(
  source: "F32" | "F16" | "BF16",
  target: "f32" | "f16",
  [O, I, P]: [number, number, number],
): Candidate {
  const count = O * I * P;
  const bits = Uint16Array.from({ length: count }, (_, i) => 0x3c00 + (i % 1021));
  const words = source === "F32" ? Uint32Array.from(bits, (h) => h << 13) : new Uint32Array(bits.buffer);
  const raw = { shape: [words.length], dtype: "u32" as const, data: Float64Array.from(words) };
  const single = (word: number) => new Float32Array(Uint32Array.of(word).buffer)[0]!;
  const value = (i: number) =>
    source === "F16" ? fromHalf(bits[i]!) : single(bits[i]! << (source === "BF16" ? 16 : 13));
  const samples = Array.from({ length: 100 }, (_, k) => {
    const [o, i, p] = [(k * 7919) % O, (k * 31) % I, (k * 5) % P];
    return [(p * I + i) * O + o, tensor([1], target, [value((o * I + i) * P + p)]).data[0]!] as const;
  });
  return {
    name: `repack ${source} → ${target} [${O}, ${I}, ${P}]`,
    launch: repackLaunch({ source, target, rows: [0, O], O, I, P }),
    inputs: { raw },
    y: { shape: [count], dtype: target },
    samples,
    bound: () => 0,
    bytes: count * (target === "f16" ? 2 : 4),
  };
}
await bench([
  candidate("F16", "f16", [320, 320, 9]),
  candidate("F16", "f16", [1280, 1280, 1]),
  candidate("F16", "f32", [320, 320, 9]),
  candidate("F32", "f16", [320, 320, 9]),
  candidate("BF16", "f16", [640, 640, 9]),
  candidate("F16", "f16", [1280, 1280, 9]),
  candidate("F16", "f16", [4000000, 1, 1]),
]);
