import { FileError } from "../errors.ts";
import {
  createBuffer,
  destroyBuffer,
  wholeBuffer,
  writeBuffer,
  type BufferRange,
  type GpuBuffer,
} from "../gpu/buffers.ts";
import { settle, type Gpu } from "../gpu/device.ts";
import { disposeProgram, prepare, submit, type Program } from "../gpu/program.ts";
import { repackLaunch } from "../kernels/repack.ts";
import { elementCount, showShape, storageBytes } from "../tensor.ts";
import { toFloat32 } from "../weights/convert.ts";
import type { TensorEntry } from "../weights/safetensors.ts";
import { defaultChunkBytes, readAhead, type ByteRange, type ByteSource } from "../weights/source.ts";
import type { Storage, Value } from "./graph.ts";
import { release, share, type WeightPool } from "./weight-pool.ts";

/** Weights of one model component on the GPU. */
export interface LoadedWeights {
  /** By `weightKey`. */
  readonly ranges: ReadonlyMap<string, BufferRange>;
  readonly bytes: number;
  dispose(): void;
}

export interface LoadOptions {
  /** Called as bytes of the file reach the GPU. */
  readonly onProgress?: ((loadedBytes: number, totalBytes: number) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

type WeightStorage = Extract<Storage, { kind: "weight" }>;

interface Job {
  readonly key: string;
  readonly value: Value;
  readonly storage: WeightStorage;
  readonly entry: TensorEntry;
}

/** What may be in flight on its way to the GPU before the host waits: bounds memory whatever the checkpoint's size. */
const inFlightBytes = 32 * 2 ** 20;

/** Streams the wanted tensors of a file to the GPU in the layout and dtype that the kernels want; the heap holds a few chunks at a time.
 *  @throws {FileError} a tensor is missing or of a dtype that weights do not have; nothing stays allocated then */
export async function loadWeights(
  gpu: Gpu,
  pool: WeightPool,
  entries: ReadonlyMap<string, TensorEntry>,
  wanted: ReadonlyMap<string, Value>,
  file: string,
  { onProgress, signal }: LoadOptions = {},
): Promise<LoadedWeights> {
  const jobs = [...wanted].map(([key, value]): Job => {
    const storage = value.storage as WeightStorage;
    const entry = entries.get(storage.name);
    if (!entry) throw new FileError(`${file} has no tensor '${storage.name}'`);
    return { key, value, storage, entry: storage.rows ? rowsOf(entry, storage.rows) : entry };
  });
  // In the order of the file, so that one request fetches many small tensors.
  jobs.sort((a, b) =>
    a.entry.source === b.entry.source
      ? a.entry.begin - b.entry.begin
      : a.entry.source.name < b.entry.source.name
        ? -1
        : 1,
  );
  const total = jobs.reduce((n, { entry }) => n + entry.end - entry.begin, 0);
  const ranges = new Map<string, BufferRange>();
  const dispose = () => {
    for (const { buffer } of ranges.values()) release(gpu, pool, buffer);
    ranges.clear();
  };
  const uploader = createUploader(gpu);
  const windows = new Map<ByteSource, ByteSource>();
  let loaded = 0;
  let bytes = 0;
  try {
    for (const job of jobs) {
      const { source } = job.entry;
      if (!windows.has(source)) windows.set(source, windowed(source));
      const buffer = await uploadTensor(
        gpu,
        pool,
        uploader,
        { ...job, entry: { ...job.entry, source: windows.get(source)! } },
        signal,
      );
      ranges.set(job.key, wholeBuffer(buffer));
      bytes += buffer.bytes;
      loaded += job.entry.end - job.entry.begin;
      onProgress?.(loaded, total);
    }
    await uploader.flush();
  } catch (error) {
    await uploader.flush().catch(() => undefined);
    dispose();
    throw error;
  }
  return { ranges, bytes, dispose };
}

function rowsOf(entry: TensorEntry, [from, to]: readonly [number, number]): TensorEntry {
  const [rows = 1, ...rest] = entry.shape;
  const rowBytes = (entry.end - entry.begin) / rows;
  return {
    ...entry,
    shape: [to - from, ...rest],
    begin: entry.begin + from * rowBytes,
    end: entry.begin + to * rowBytes,
  };
}

/** A source that reads ahead of small reads, in one piece of a chunk's size, and hands out views of it. */
function windowed(source: ByteSource): ByteSource {
  let start = 0;
  let held = new Uint8Array(0);
  return {
    name: source.name,
    size: source.size,
    async read(begin, end, signal) {
      if (end - begin >= defaultChunkBytes / 4) return source.read(begin, end, signal);
      if (begin < start || end > start + held.length) {
        held = await source.read(begin, Math.min(source.size, Math.max(end, begin + defaultChunkBytes / 2)), signal);
        start = begin;
      }
      return held.subarray(begin - start, end - start);
    },
  };
}

async function uploadTensor(
  gpu: Gpu,
  pool: WeightPool,
  uploader: Uploader,
  job: Job,
  signal?: AbortSignal,
): Promise<GpuBuffer> {
  const { value, entry, storage } = job;
  if (entry.dtype !== "F16" && entry.dtype !== "BF16" && entry.dtype !== "F32") {
    throw new FileError(`${entry.source.name}: tensor '${entry.name}' is ${entry.dtype}, weights are F16, BF16 or F32`);
  }
  const target = value.dtype === "f16" ? "f16" : "f32";
  const buffer = createBuffer(gpu, storageBytes(value), entry.name);
  try {
    const digests: string[] = [];
    const [O = 1, I = 1, ...taps] = entry.shape;
    const rowBytes = (entry.end - entry.begin) / Math.max(1, O);
    // Whole rows, a multiple of four of them: then no 32-bit word of the destination is written from two chunks.
    const chunkRows = Math.max(4, Math.floor(defaultChunkBytes / Math.max(1, rowBytes) / 4) * 4);
    const plain = storage.layout === "table" && entry.dtype === (target === "f16" ? "F16" : "F32");
    let row = 0;
    for await (const chunk of readAhead(entry.source, rowRanges(entry, O, rowBytes, chunkRows), signal)) {
      const rows = Math.min(chunkRows, O - row);
      digests.push(await digest(chunk));
      if (storage.layout === "vector") {
        const values = toFloat32(chunk, entry.dtype);
        writeBuffer(
          gpu,
          buffer,
          row * 4 * (rowBytes / bytesOf(entry.dtype)),
          new Uint8Array(values.buffer, values.byteOffset, values.byteLength),
        );
      } else if (plain) {
        writeBuffer(gpu, buffer, row * rowBytes, chunk);
      } else {
        const P = elementCount(taps);
        // A table keeps its order: as a tensor of one output channel it is only converted.
        const shape =
          storage.layout === "table"
            ? { O: 1, I: O * I * P, P: 1, copyOffset: row * I * P, count: rows * I * P }
            : { O, I, P };
        await uploader.repack(chunk, buffer, { source: entry.dtype, target, rows: [row, row + rows], ...shape });
      }
      await uploader.sent(chunk.byteLength);
      row += rows;
    }
    if (row !== O)
      throw new FileError(`${entry.source.name}: tensor '${entry.name}' ${showShape(entry.shape)} ended at row ${row}`);
    const content = [storage.layout, target, entry.dtype, showShape(entry.shape), ...digests].join(" ");
    return share(gpu, pool, content, buffer);
  } catch (error) {
    if (gpu.ledger.live.has(buffer)) destroyBuffer(gpu, buffer);
    throw error;
  }
}
