import { readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { HostTensor } from "../../src/pipeline/component.ts";
import { toFloat32 } from "../../src/weights/convert.ts";
import { fileSource } from "../../src/weights/disk.ts";
import { readSafetensors } from "../../src/weights/safetensors.ts";

const root = fileURLToPath(new URL("../golden/", import.meta.url));

/** A file that `weights-tools/golden` made with diffusers. */
export interface GoldenFile {
  readonly name: string;
  readonly metadata: ReadonlyMap<string, string>;
  readonly tensors: ReadonlyMap<string, HostTensor>;
}

/** Path of a model or data file among the golden ones. */
export function goldenPath(path: string): string {
  return root + path;
}

/** Names in a folder of golden data that match, sorted. */
export function goldenNames(folder: string, pattern: RegExp): string[] {
  return readdirSync(root + folder)
    .filter((n) => pattern.test(n))
    .sort();
}

export async function readGolden(path: string): Promise<GoldenFile> {
  const source = await fileSource(root + path);
  try {
    const { tensors, metadata } = await readSafetensors(source);
    const read = new Map<string, HostTensor>();
    for (const [name, { shape, dtype, begin, end }] of tensors)
      read.set(name, { shape, data: toFloat32(await source.read(begin, end), dtype) });
    return { name: path, metadata, tensors: read };
  } finally {
    await source.close();
  }
}

/** ‖a − b‖₂ / ‖b‖₂ */
export function relativeError(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let difference = 0;
  let size = 0;
  for (let i = 0; i < b.length; i++) {
    difference += (a[i]! - b[i]!) ** 2;
    size += b[i]! ** 2;
  }
  return a.length === b.length ? Math.sqrt(difference / size) : Infinity;
}
