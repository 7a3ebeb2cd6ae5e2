import { describe, expect, test } from "vitest";
import { FileError } from "../../../src/errors.ts";
import { fromFloat32, toFloat32 } from "../../../src/weights/convert.ts";

const bytesOf = (array: ArrayBufferView): Uint8Array =>
  new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
const allHalves = Uint16Array.from({ length: 65536 }, (_, i) => i);
const bitsOf = (floats: Float32Array): Uint32Array => new Uint32Array(floats.buffer, floats.byteOffset, floats.length);

/** A half's value by the definition in IEEE 754: sign, 5 bits of exponent, 10 of fraction. */
function halfValue(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 31) return fraction === 0 ? sign * Infinity : Number.NaN;
  return exponent === 0 ? sign * 2 ** -24 * fraction : sign * 2 ** (exponent - 25) * (1024 + fraction);
}

/** Every finite value of a 16-bit format that is ≥ 0, ascending, with its bits. */
const halves = [...allHalves.subarray(0, 0x7c00)].map(halfValue);
const brains = Array.from({ length: 0x7f80 }, (_, bits) => new Float32Array(Uint32Array.of(bits << 16).buffer)[0]!);

/** Nearest by search among all values of the format, ties to the even bit pattern; `top` is where infinity begins. */
function nearest(values: readonly number[], top: number, x: number): number {
  const a = Math.abs(x);
  const sign = Object.is(x, -0) || x < 0 ? 0x8000 : 0;
  if (a >= top) return sign | values.length;
  let low = 0;
  let high = values.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (values[middle]! <= a) low = middle;
    else high = middle - 1;
  }
  const [below, above] = [a - values[low]!, (values[low + 1] ?? Infinity) - a];
  const up = low + 1 < values.length && (above < below || (above === below && low % 2 === 1));
  return sign | (up ? low + 1 : low);
}
const nearestHalf = (x: number): number => nearest(halves, 65520, x);
// Half-way between the largest bf16 and 2^128.
const nearestBrain = (x: number): number => nearest(brains, 2 ** 128 * (1 - 2 ** -9), x);

describe("toFloat32", () => {
  test("all 65536 halves are exact", () => {
    const floats = toFloat32(bytesOf(allHalves), "F16");
    const wrong = [...allHalves].filter((bits) => !Object.is(floats[bits], halfValue(bits)));
    expect(wrong).toEqual([]);
  });

  test("a half's NaN keeps sign and payload", () => {
    expect([...bitsOf(toFloat32(bytesOf(Uint16Array.of(0x7e00, 0xfe01, 0x7c01)), "F16"))]).toEqual([
      0x7fc00000, 0xffc02000, 0x7f802000,
    ]);
  });

  test("all 65536 bf16 are the upper halves of f32", () => {
    const bits = bitsOf(toFloat32(bytesOf(allHalves), "BF16"));
    expect([...allHalves].filter((b) => bits[b] !== (b << 16) >>> 0)).toEqual([]);
  });

  test("f32 keeps its bits, NaN payloads and subnormals included", () => {
    const bits = Uint32Array.of(0, 0x80000000, 1, 0x7f800001, 0xffc00123, 0x7f800000, 0x3f800000, 0x807fffff);
    expect([...bitsOf(toFloat32(bytesOf(bits), "F32"))]).toEqual([...bits]);
  });

  test("f64 is rounded to nearest even", () => {
    const values = Float64Array.of(0.1, -0, 1e300, 1 + 2 ** -24, 1 + 3 * 2 ** -24, 2 ** -149, 2 ** -150, Number.NaN);
    expect([...toFloat32(bytesOf(values), "F64")]).toEqual([
      0.10000000149011612,
      -0,
      Infinity,
      1,
      1 + 2 ** -22,
      2 ** -149,
      0,
      Number.NaN,
    ]);
  });

  test("integers are exact", () => {
    expect([...toFloat32(bytesOf(Int32Array.of(0, -1, 999, 2 ** 24, -(2 ** 31))), "I32")]).toEqual([
      0,
      -1,
      999,
      2 ** 24,
      -(2 ** 31),
    ]);
    expect([...toFloat32(bytesOf(BigInt64Array.of(0n, -1n, 49407n, -(2n ** 63n))), "I64")]).toEqual([
      0,
      -1,
      49407,
      -(2 ** 63),
    ]);
  });

  test.each([
    ["I32", bytesOf(Int32Array.of(5, 2 ** 24 + 1))],
    ["I64", bytesOf(BigInt64Array.of(5n, 2n ** 62n + 1n))],
  ] as const)("an %s that f32 does not have is refused, with its index", (dtype, bytes) => {
    expect(() => toFloat32(bytes, dtype)).toThrow(FileError);
    expect(() => toFloat32(bytes, dtype)).toThrow(/at index 1 has no exact f32/);
  });

  test("bytes that begin at an odd address", () => {
    for (const [dtype, array] of [
      ["F16", Uint16Array.of(0x3c00, 0xc000)],
      ["BF16", Uint16Array.of(0x3f80, 0xc000)],
      ["F32", Float32Array.of(1, -2)],
      ["F64", Float64Array.of(1, -2)],
      ["I32", Int32Array.of(1, -2)],
      ["I64", BigInt64Array.of(1n, -2n)],
    ] as const) {
      const file = new Uint8Array(array.byteLength + 1);
      file.set(bytesOf(array), 1);
      expect([...toFloat32(file.subarray(1), dtype)], dtype).toEqual([1, -2]);
    }
  });

  test("dtypes that are no model's, and lengths that do not divide, are refused by name", () => {
    expect(() => toFloat32(new Uint8Array(4), "F8_E4M3")).toThrow(/F8_E4M3 is not read[\s\S]*F16, BF16, F32/);
    expect(() => toFloat32(new Uint8Array(3), "F16")).toThrow(/3 bytes .* F16/);
  });
});

/** Values at, beside and half-way between everything of the format. */
function hardCases(values: readonly number[], top: number): Float32Array {
  const cases: number[] = [0, -0, Infinity, -Infinity, top, -top, 3.4028234663852886e38, 2 ** -149, 2 ** -150];
  for (let i = 0; i < values.length; i += values === brains ? 7 : 1) {
    const [v, next] = [values[i]!, values[i + 1] ?? top];
    const middle = Math.fround((v + next) / 2);
    const bits = new Uint32Array(Float32Array.of(v, middle).buffer);
    const beside = [...new Float32Array(Uint32Array.of(bits[0]! + 1, bits[1]! + 1, Math.max(0, bits[1]! - 1)).buffer)];
    cases.push(v, middle, -middle, ...beside, -beside[1]!);
  }
  return Float32Array.from(cases);
}

describe("fromFloat32", () => {
  test.each([
    ["F16", halves, 65520, nearestHalf],
    ["BF16", brains, 2 ** 128 * (1 - 2 ** -9), nearestBrain],
  ] as const)("%s: nearest, ties to even, at and round every value", (dtype, values, top, reference) => {
    const floats = hardCases(values, Math.fround(top));
    const got = new Uint16Array(fromFloat32(floats, dtype).buffer);
    const wrong = [...floats].filter((x, i) => got[i] !== reference(x)).slice(0, 5);
    expect(wrong).toEqual([]);
    expect(floats.length).toBeGreaterThan(20_000);
  });

  test("every 16-bit value survives there and back", () => {
    for (const dtype of ["F16", "BF16"] as const) {
      const back = new Uint16Array(fromFloat32(toFloat32(bytesOf(allHalves), dtype), dtype).buffer);
      const isNaN16 = (b: number): boolean => (b & 0x7fff) > (dtype === "F16" ? 0x7c00 : 0x7f80);
      // A NaN may become quiet, but not finite and not infinite.
      expect([...allHalves].filter((b) => (isNaN16(b) ? !isNaN16(back[b]!) : back[b] !== b))).toEqual([]);
    }
  });

  test("NaNs whose payload is only in the low bits stay NaN", () => {
    const nan = new Float32Array(Uint32Array.of(0x7f800001, 0xff800001).buffer);
    expect([...new Uint16Array(fromFloat32(nan, "F16").buffer)]).toEqual([0x7e00, 0xfe00]);
    expect([...new Uint16Array(fromFloat32(nan, "BF16").buffer)]).toEqual([0x7fc0, 0xffc0]);
  });

  test("f32 is a copy with the same bits", () => {
    const values = new Float32Array(Uint32Array.of(0x7f800001, 0x80000001, 0x3f800000).buffer);
    const bytes = fromFloat32(values, "F32");
    expect(bytes).toEqual(bytesOf(values));
    expect(bytes.buffer).not.toBe(values.buffer);
  });
});
