import { FileError } from "../errors.ts";
import type { HostTensor } from "../pipeline/component.ts";
import { toFloat32 } from "../weights/convert.ts";
import { fileSource } from "../weights/disk.ts";
import type { FileDtype } from "../weights/dtype.ts";
import { readSafetensors } from "../weights/safetensors.ts";
import { quote } from "../weights/show.ts";
import { encodeSafetensors } from "../weights/write.ts";

/** A tensor as f32, and what it was in its file. */
export interface FileTensor extends HostTensor {
  readonly dtype: FileDtype;
}

/** All tensors of a small safetensors file, as f32. @throws {FileError} damaged, or a tensor that f32 cannot hold */
export async function readTensors(path: string): Promise<Map<string, FileTensor>> {
  const source = await fileSource(path);
  try {
    const { tensors } = await readSafetensors(source);
    const read = new Map<string, FileTensor>();
    for (const [name, { shape, dtype, begin, end }] of tensors) {
      const bytes = await source.read(begin, end);
      read.set(name, { shape, dtype, data: named(path, name, () => toFloat32(bytes, dtype)) });
    }
    return read;
  } finally {
    await source.close();
  }
}

function named<T>(path: string, tensor: string, convert: () => T): T {
  try {
    return convert();
  } catch (cause) {
    if (!(cause instanceof FileError)) throw cause;
    throw new FileError(`${path}: tensor ${quote(tensor)}: ${cause.message}`, undefined, { cause });
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
