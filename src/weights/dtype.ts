import type { Shape } from "../tensor.ts";

/** Bits of one element, by safetensors dtype, in the reference writer's order (it sorts tensors by this, last first). */
export const dtypeBits = {
  BOOL: 8,
  F4: 4,
  F6_E2M3: 6,
  F6_E3M2: 6,
  U8: 8,
  I8: 8,
  F8_E5M2: 8,
  F8_E4M3: 8,
  F8_E8M0: 8,
  F8_E4M3FNUZ: 8,
  F8_E5M2FNUZ: 8,
  I16: 16,
  U16: 16,
  F16: 16,
  BF16: 16,
  I32: 32,
  U32: 32,
  F32: 32,
  C64: 64,
  F64: 64,
  I64: 64,
  U64: 64,
} as const;

/** Element types a safetensors file can hold. */
export type FileDtype = keyof typeof dtypeBits;

export const fileDtypes = Object.keys(dtypeBits) as FileDtype[];

/** Largest rank and dimension that are believed; no model comes near either, and products stay countable. */
export const maxRank = 8;
export const maxDimension = 2 ** 31 - 1;

export function isFileDtype(text: string): text is FileDtype {
  return Object.hasOwn(dtypeBits, text);
}

/** Bytes of a tensor in a file, or what is wrong with its shape. Sub-byte types have to fill whole bytes. */
export function fileBytes(dtype: FileDtype, shape: Shape): number | { readonly wrong: string } {
  if (shape.length > maxRank) return { wrong: `rank ${shape.length} is over ${maxRank}` };
  let bits: number = dtypeBits[dtype];
  for (const d of shape) {
    if (d > maxDimension) return { wrong: `dimension ${d} is over ${maxDimension}` };
    bits *= d;
    if (!Number.isSafeInteger(bits)) return { wrong: `[${shape.join(", ")}] has too many elements to count` };
  }
  if (bits % 8 !== 0) return { wrong: `${bits} bits of ${dtype} are not a whole number of bytes` };
  return bits / 8;
}
