import { elementCount, type Dtype, type Shape, type TensorSpec } from "../../src/tensor.ts";

/** A tensor on the host: what it is, and its elements as f64 *after* rounding to its dtype, so that the reference sees what the GPU sees. */
export interface HostTensor extends TensorSpec {
  readonly data: Float64Array;
}

/** Deterministic values, roughly uniform in [-1, 1], rounded to the dtype. */
export function random(shape: Shape, dtype: Dtype = "f32", seed = 1): HostTensor {
  let state = (seed * 2654435761) >>> 0 || 1;
  const next = () => {
    state ^= state << 13;
    state >>>= 0;
    state ^= state >>> 17;
    state ^= state << 5;
    state >>>= 0;
    return state / 2 ** 31 - 1;
  };
  for (let i = 0; i < 8; i++) next();
  return tensor(shape, dtype, Float64Array.from({ length: elementCount(shape) }, next));
}

/** Given values, rounded to the dtype. */
export function tensor(shape: Shape, dtype: Dtype, values: ArrayLike<number>): HostTensor {
  if (values.length !== elementCount(shape)) throw new Error(`${values.length} values for shape [${shape.join(", ")}]`);
  return { shape, dtype, data: decode(encode(values, dtype), dtype, values.length) };
}

const scratch = new DataView(new ArrayBuffer(4));

/** f64 → binary16 bits, round to nearest even. */
export function toHalf(x: number): number {
  if (Number.isNaN(x)) return 0x7e00;
  const sign = x < 0 || Object.is(x, -0) ? 0x8000 : 0;
  const a = Math.abs(x);
  if (a >= 65520) return sign | 0x7c00;
  if (a < 2 ** -14) return sign | roundEven(a * 2 ** 24); // subnormal, or the smallest normal when it rounds up
  const e = Math.floor(Math.log2(a));
  const exponent = a < 2 ** e ? e - 1 : a >= 2 ** (e + 1) ? e + 1 : e;
  return sign | (((exponent + 15) << 10) + roundEven((a / 2 ** exponent - 1) * 1024));
}

export function fromHalf(h: number): number {
  const sign = h & 0x8000 ? -1 : 1;
  const e = (h >> 10) & 31;
  const m = h & 1023;
  if (e === 31) return m ? NaN : sign * Infinity;
  return sign * (e === 0 ? m * 2 ** -24 : (1 + m / 1024) * 2 ** (e - 15));
}

function roundEven(x: number): number {
  const r = Math.round(x);
  return Math.abs(x % 1) === 0.5 ? 2 * Math.round(x / 2) : r;
}

/** Elements as the GPU stores them. */
export function encode(values: ArrayLike<number>, dtype: Dtype): Uint8Array {
  if (dtype === "f16") return new Uint8Array(Uint16Array.from(values, toHalf).buffer);
  return new Uint8Array((dtype === "u32" ? Uint32Array.from(values) : Float32Array.from(values)).buffer);
}

/** Elements from the GPU's bytes. */
export function decode(bytes: Uint8Array, dtype: Dtype, count: number): Float64Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const at = {
    f16: (i: number) => fromHalf(view.getUint16(2 * i, true)),
    f32: (i: number) => view.getFloat32(4 * i, true),
    u32: (i: number) => view.getUint32(4 * i, true),
  };
  return Float64Array.from({ length: count }, (_, i) => at[dtype](i));
}

/** The nearest f32. */
export function fround(x: number): number {
  scratch.setFloat32(0, x);
  return scratch.getFloat32(0);
}
