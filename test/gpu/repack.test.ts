import { describe, expect, it } from "vitest";
import { createBuffer, destroyBuffer, wholeBuffer, writeBuffer } from "../../src/gpu/buffers.ts";
import { disposeProgram, prepare, readBuffer, submit } from "../../src/gpu/program.ts";
import { repackLaunch } from "../../src/kernels/repack.ts";
import { alignUp } from "../../src/tensor.ts";
import { transposeWeight } from "../reference.ts";
import { testGpu } from "../support/adapter.ts";
import { closeAfterTests } from "../support/op.ts";
import { fromHalf, random, toHalf } from "../support/tensor.ts";

closeAfterTests();

type Source = "F32" | "F16" | "BF16";
const single = new DataView(new ArrayBuffer(4));

/** f64 → bf16 bits by truncation: any bits will do as input. */
function toBrain(x: number): number {
  single.setFloat32(0, x);
  return single.getUint16(0);
}

function fromBrain(b: number): number {
  single.setUint32(0, b << 16);
  return single.getFloat32(0);
}

function encodeFile(values: ArrayLike<number>, source: Source): Uint8Array {
  if (source === "F32") return new Uint8Array(Float32Array.from(values).buffer);
  return new Uint8Array(Uint16Array.from(values, source === "F16" ? toHalf : toBrain).buffer);
}

function decodeFile(bytes: Uint8Array, source: Source): Float64Array {
  if (source === "F32") return Float64Array.from(new Float32Array(bytes.buffer));
  return Float64Array.from(new Uint16Array(bytes.buffer), source === "F16" ? fromHalf : fromBrain);
}

/** Runs a tensor through in chunks of `step` rows; returns the destination's words, with a tail behind it that nobody may touch. */
async function repack(
  bytes: Uint8Array,
  source: Source,
  target: "f32" | "f16",
  [O, I, P]: readonly [number, number, number],
  step = O,
): Promise<Uint8Array> {
  const gpu = await testGpu();
  const rowBytes = bytes.byteLength / O;
  const yBytes = alignUp(O * I * P * (target === "f16" ? 2 : 4), 4);
  const y = createBuffer(gpu, yBytes + 64, "y");
  writeBuffer(gpu, y, yBytes, new Uint8Array(64).fill(0xa5));
  for (let row = 0; row < O; row += step) {
    const rows = [row, Math.min(O, row + step)] as const;
    const chunk = bytes.subarray(rows[0] * rowBytes, rows[1] * rowBytes);
    const raw = createBuffer(gpu, chunk.byteLength, "raw");
    writeBuffer(gpu, raw, 0, chunk);
    const launch = repackLaunch({ source, target, rows, O, I, P });
    const program = await prepare(gpu, "repack", [
      { launch, buffers: { raw: wholeBuffer(raw), y: wholeBuffer(y) }, label: "test" },
    ]);
    submit(gpu, [program]);
    disposeProgram(gpu, program);
    destroyBuffer(gpu, raw);
  }
  const result = await readBuffer(gpu, wholeBuffer(y));
  destroyBuffer(gpu, y);
  expect(result.subarray(yBytes, yBytes + 64).every((b) => b === 0xa5)).toBe(true);
  return result.slice(0, O * I * P * (target === "f16" ? 2 : 4));
}

const shapes: [name: string, shape: readonly [number, number, number], step?: number][] = [
  ["a linear layer", [32, 20, 1]],
  ["a 3×3 convolution", [16, 12, 9]],
  ["chunks of rows", [22, 7, 9], 4],
  ["an odd number of rows", [3, 5, 9]],
  ["an odd number of rows in chunks", [9, 5, 3], 4],
  ["one element", [1, 1, 1]],
  ["a table in order", [1001, 1, 1]],
  ["a table in order, in chunks", [1001, 1, 1], 256],
];

describe.each(["F32", "F16", "BF16"] as const)("repack %s", (source) => {
  describe.each(["f32", "f16"] as const)("to %s", (target) => {
    it.each(shapes)("%s %j", async (_, shape, step) => {
      const [O, I, P] = shape;
      const bytes = encodeFile(random([O * I * P], "f32", 3).data, source);
      const expected = transposeWeight(decodeFile(bytes, source), shape);
      const got = await repack(bytes, source, target, shape, step);
      // Bit for bit: a conversion has one right answer.
      if (target === "f32") expect(new Float32Array(got.buffer)).toEqual(Float32Array.from(expected));
      else expect(new Uint16Array(got.buffer)).toEqual(Uint16Array.from(expected, toHalf));
    });
  });
});

it("converts every f16 exactly to f32", async () => {
  const all = Uint16Array.from({ length: 65536 }, (_, i) => i);
  const got = new Float32Array((await repack(new Uint8Array(all.buffer), "F16", "f32", [65536, 1, 1])).buffer);
  const wrong = [...all].filter((h) => !Object.is(got[h]!, fromHalf(h)));
  expect(wrong).toEqual([]);
});

it("rounds f32 to f16 to nearest even: ties, subnormals, overflow", async () => {
  const edges = [
    0,
    -0,
    1,
    65504,
    65519.99,
    65520,
    65536,
    1e30,
    Infinity,
    -Infinity,
    NaN,
    2 ** -14,
    2 ** -14 - 2 ** -26,
    2 ** -24,
    2 ** -25,
    2 ** -25 * 1.0001,
    3 * 2 ** -25,
  ];
  const ties = Array.from(
    { length: 2000 },
    (_, i) => fromHalf(1000 + 7 * i) + (fromHalf(1001 + 7 * i) - fromHalf(1000 + 7 * i)) / 2,
  );
  const small = [...random([2000], "f32", 9).data].map((v) => v * 2 ** -13);
  const values = Float32Array.from([...edges, ...ties, ...small]);
  const got = new Uint16Array(
    (await repack(new Uint8Array(values.buffer), "F32", "f16", [values.length, 1, 1])).buffer,
  );
  expect(got).toEqual(Uint16Array.from(values, toHalf));
});

it("refuses chunks that would share a word", () => {
  expect(() => repackLaunch({ source: "F16", target: "f16", rows: [3, 6], O: 6, I: 1, P: 1 })).toThrow(
    "begins at row 3",
  );
});
