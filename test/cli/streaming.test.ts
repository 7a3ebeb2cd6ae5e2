import { truncateSync } from "node:fs";
import { expect, it } from "vitest";
import { loadWeights } from "../../src/graph/load.ts";
import type { Value } from "../../src/graph/graph.ts";
import { createWeightPool } from "../../src/graph/weight-pool.ts";
import { fileSource } from "../../src/weights/disk.ts";
import { readSafetensors } from "../../src/weights/safetensors.ts";
import { writeFileSync } from "node:fs";
import { testGpu } from "../support/adapter.ts";
import { closeAfterTests } from "../support/op.ts";
import { fileOf } from "../unit/weights/safetensors-files.ts";
import { at } from "./command.ts";

closeAfterTests();

const MiB = 2 ** 20;

/** A file with a tensor larger than many chunks, one in f32, and a table: 208 MiB, which the disk keeps as a hole. */
function largeFile(path: string): void {
  const tensors = {
    "wide.weight": { dtype: "F16", shape: [8192, 6144], data_offsets: [0, 96 * MiB] },
    "conv.weight": { dtype: "F32", shape: [512, 4096, 3, 3], data_offsets: [96 * MiB, 168 * MiB] },
    "table.weight": { dtype: "BF16", shape: [20480, 1024], data_offsets: [168 * MiB, 208 * MiB] },
  };
  const file = fileOf(JSON.stringify(tensors));
  writeFileSync(path, file);
  truncateSync(path, file.length + 208 * MiB);
}

it("208 MiB reach the GPU through less than 64 MiB of heap", async () => {
  const gpu = await testGpu();
  const path = at("large.safetensors");
  largeFile(path);
  const source = await fileSource(path);
  const memory = () => {
    const { heapUsed, arrayBuffers } = process.memoryUsage();
    return heapUsed + arrayBuffers;
  };
  const before = memory();
  let most = 0;
  const measure = () => (most = Math.max(most, memory() - before));
  const watched = {
    ...source,
    read: async (begin: number, end: number, signal?: AbortSignal) => {
      const bytes = await source.read(begin, end, signal);
      measure();
      return bytes;
    },
    readInto: async (target: Uint8Array, begin: number, signal?: AbortSignal) => {
      await source.readInto(target, begin, signal);
      measure();
    },
  };
  try {
    const { tensors } = await readSafetensors(watched);
    const wanted = new Map(
      [...tensors].map(([name, { shape }]): [string, Value] => {
        const layout = name.startsWith("table") ? "table" : "matrix";
        return [name, { shape, dtype: "f16", storage: { kind: "weight", name, layout } }];
      }),
    );
    const seen: number[] = [];
    const weights = await loadWeights(gpu, createWeightPool(), tensors, wanted, "large", {
      onProgress: (loaded) => seen.push(loaded / MiB),
    });
    measure();
    // Progress within the largest tensor would be better still: it is told as each arrives.
    expect(seen).toEqual([96, 168, 208]);
    expect(weights.bytes).toBe((96 + 36 + 40) * MiB);
    weights.dispose();
    expect(most / MiB).toBeLessThan(64);
  } finally {
    await source.close();
  }
});
