import { FileError } from "../errors.ts";
import { dtypeBits, type FileDtype } from "./dtype.ts";

/** Dtypes that `toFloat32` reads. */
export type ReadableDtype = "F16" | "BF16" | "F32" | "F64" | "I32" | "I64";

const readers: Record<ReadableDtype, (bytes: Uint8Array) => Float32Array<ArrayBuffer>> = {
  F16: (bytes) => fromBits(new Uint16Array(aligned(bytes)), halfToFloatBits),
  BF16: (bytes) => fromBits(new Uint16Array(aligned(bytes)), (bits) => bits << 16),
  F32: (bytes) => new Float32Array(aligned(bytes)),
  F64: (bytes) => new Float32Array(new Float64Array(aligned(bytes))),
  I32: (bytes) => exact(new Int32Array(aligned(bytes))),
  I64: (bytes) => exact(new BigInt64Array(aligned(bytes))),
};

/** A tensor's bytes as f32. f16, bf16 and f32 are exact, down to subnormals and the bits of a NaN; f64 is rounded to
 *  nearest even; integers are exact or refused.
 *  @throws {FileError} a dtype that is no number here, bytes that do not divide, or an integer that f32 does not have */
export function toFloat32(bytes: Uint8Array, dtype: FileDtype): Float32Array<ArrayBuffer> {
  if (!isReadable(dtype)) {
    const known = Object.keys(readers).join(", ");
    throw new FileError(`dtype ${dtype} is not read`, `${known} are: convert the file to one of them`);
  }
  const each = dtypeBits[dtype] / 8;
  if (bytes.byteLength % each !== 0) {
    throw new FileError(`${bytes.byteLength} bytes are no whole number of ${dtype}, which takes ${each}`);
  }
  return readers[dtype](bytes);
}

/** f32 values as a tensor's bytes, rounded to nearest even. NaN stays NaN; what is too large becomes infinite. */
export function fromFloat32(values: Float32Array, dtype: "F16" | "F32" | "BF16"): Uint8Array<ArrayBuffer> {
  const bits = new Uint32Array(values.slice().buffer);
  if (dtype === "F32") return new Uint8Array(bits.buffer);
  const round = dtype === "F16" ? floatBitsToHalf : floatBitsToBrain;
  return new Uint8Array(Uint16Array.from(bits, round).buffer);
}

function isReadable(dtype: FileDtype): dtype is ReadableDtype {
  return Object.hasOwn(readers, dtype);
}

/** A copy that begins at offset 0: a tensor in a file starts anywhere, a typed array only at multiples of its element. */
function aligned(bytes: Uint8Array): ArrayBuffer {
  return bytes.slice().buffer;
}

/** Widens through the bits, not through numbers: a NaN that passes through a JavaScript number may lose its payload. */
function fromBits(narrow: Uint16Array, widen: (bits: number) => number): Float32Array<ArrayBuffer> {
  const wide = new Uint32Array(narrow.length);
  for (let i = 0; i < narrow.length; i++) wide[i] = widen(narrow[i]!);
  return new Float32Array(wide.buffer);
}

function halfToFloatBits(half: number): number {
  const sign = (half & 0x8000) << 16;
  const exponent = (half >> 10) & 0x1f;
  let mantissa = half & 0x3ff;
  if (exponent === 31) return sign | 0x7f800000 | (mantissa << 13);
  if (exponent > 0) return sign | ((exponent + 112) << 23) | (mantissa << 13);
  if (mantissa === 0) return sign;
  // Subnormal: mantissa · 2^-24, which f32 has as a normal number.
  const shift = Math.clz32(mantissa) - 21;
  mantissa = (mantissa << shift) & 0x3ff;
  return sign | ((113 - shift) << 23) | (mantissa << 13);
}

function floatBitsToHalf(bits: number): number {
  const sign = (bits >>> 16) & 0x8000;
  const magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return sign | 0x7e00 | ((magnitude >> 13) & 0x3ff);
  // 65520, half-way between the largest half and 2^16, and all above it.
  if (magnitude >= 0x477ff000) return sign | 0x7c00;
  if (magnitude >= 0x38800000) return sign | roundEven(magnitude - 0x38000000, 13);
  // Below 2^-14 halves are multiples of 2^-24: shift the whole significand there. 2^-25 itself ties to 0.
  const exponent = magnitude >>> 23;
  if (exponent < 102) return sign;
  return sign | roundEven((magnitude & 0x7fffff) | 0x800000, 126 - exponent);
}

function floatBitsToBrain(bits: number): number {
  const magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return (bits >>> 16) | 0x40;
  return ((bits >>> 16) & 0x8000) | roundEven(magnitude, 16);
}

/** n / 2^shift rounded to nearest, ties to even. */
function roundEven(n: number, shift: number): number {
  const half = 2 ** (shift - 1);
  const odd = (n >>> shift) & 1;
  return (n + half - 1 + odd) >>> shift;
}

function exact(values: Int32Array | BigInt64Array): Float32Array<ArrayBuffer> {
  const floats = new Float32Array(values.length);
  values.forEach((value: number | bigint, i: number) => {
    floats[i] = Number(value);
    // Compared as integers: Number() of a large bigint rounds too.
    if (BigInt(floats[i]) !== BigInt(value)) {
      throw new FileError(`integer ${value} at index ${i} has no exact f32`, "f32 holds integers up to 2^24 exactly");
    }
  });
  return floats;
}
