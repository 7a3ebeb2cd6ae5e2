/** Element types a tensor can have on the GPU. */
export type Dtype = "f32" | "f16" | "u32";

export type Shape = readonly number[];

/** What is known of a tensor before it has bytes: its dimensions (row-major) and element type. */
export interface TensorSpec {
  readonly shape: Shape;
  readonly dtype: Dtype;
}

export const bytesPerElement: Record<Dtype, number> = { f32: 4, f16: 2, u32: 4 };

/** Number of elements: the product of the dimensions, 1 for rank 0. */
export function elementCount(shape: Shape): number {
  return shape.reduce((n, d) => n * d, 1);
}

/** Bytes of a tensor's storage, rounded up to WebGPU's 4-byte granule. */
export function storageBytes({ shape, dtype }: TensorSpec): number {
  return Math.ceil((elementCount(shape) * bytesPerElement[dtype]) / 4) * 4;
}

export function sameShape(a: Shape, b: Shape): boolean {
  return a.length === b.length && a.every((d, i) => d === b[i]);
}

/** Shape as the field prints it: `[1, 64, 64, 320]`. */
export function showShape(shape: Shape): string {
  return `[${shape.join(", ")}]`;
}

/** A tensor as the field prints it: `f16[1, 64, 64, 320]`. */
export function showSpec({ shape, dtype }: TensorSpec): string {
  return dtype + showShape(shape);
}

/** Quotient rounded up. */
export function ceilDiv(a: number, b: number): number {
  return Math.ceil(a / b);
}

/** x rounded up to a multiple of m. */
export function alignUp(x: number, m: number): number {
  return Math.ceil(x / m) * m;
}
