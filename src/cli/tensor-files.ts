import { readFile } from "node:fs/promises";
import type { HostTensor } from "../pipeline/component.ts";
import { toFloat32 } from "../weights/convert.ts";
import { fileSource } from "../weights/disk.ts";
import { readSafetensors } from "../weights/safetensors.ts";
import { encodeSafetensors } from "../weights/write.ts";

/** All tensors of a small safetensors file, as f32. @throws {FileError} */
export async function readTensors(path: string): Promise<Map<string, HostTensor>> {
  const source = await fileSource(path);
  try {
    const { tensors } = await readSafetensors(source);
    const bytes = await readFile(path);
    return new Map(
      [...tensors].map(([name, { shape, dtype, begin, end }]) => [
        name,
        { shape, data: toFloat32(bytes.subarray(begin, end), dtype) },
      ]),
    );
  } finally {
    await source.close();
  }
}

/** A safetensors file of f32 tensors. */
export function writeTensors(tensors: ReadonlyMap<string, HostTensor>): Uint8Array {
  return encodeSafetensors(
    [...tensors].map(([name, { shape, data }]) => ({
      name,
      dtype: "F32" as const,
      shape,
      data: new Uint8Array(data.buffer, data.byteOffset, data.byteLength),
    })),
  );
}
