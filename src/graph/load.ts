import { FileError } from "../errors.ts";
import {
  createBuffer,
  destroyBuffer,
  wholeBuffer,
  writeBuffer,
  type BufferRange,
  type GpuBuffer,
} from "../gpu/buffers.ts";
import type { Gpu } from "../gpu/device.ts";
import { elementCount, showShape, storageBytes } from "../tensor.ts";
import { toFloat32 } from "../weights/convert.ts";
import type { TensorEntry } from "../weights/safetensors.ts";
import { defaultChunkBytes, readAhead, type ByteRange, type ByteSource } from "../weights/source.ts";
import type { Storage, Value } from "./graph.ts";
import { createUploader, type Uploader } from "./uploader.ts";
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

/** A source that reads ahead of small reads, in one piece of half a chunk, and hands out views of it: one request fetches many small tensors. */
function windowed(source: ByteSource): ByteSource {
  let start = 0;
  let held: Uint8Array = new Uint8Array(0);
  const isLarge = (bytes: number) => bytes >= defaultChunkBytes / 4;
  const read: ByteSource["read"] = async (begin, end, signal) => {
    if (isLarge(end - begin)) return source.read(begin, end, signal);
    if (begin < start || end > start + held.length) {
      held = await source.read(begin, Math.min(source.size, begin + defaultChunkBytes / 2), signal);
      start = begin;
    }
    return held.subarray(begin - start, end - start);
  };
  if (source.readInto === undefined) return { name: source.name, size: source.size, read };
  const readInto = source.readInto.bind(source);
  return {
    name: source.name,
    size: source.size,
    read,
    // Large reads go to the reader's own two buffers: a new one for each would wait for the garbage collector.
    async readInto(target, begin, signal) {
      if (isLarge(target.byteLength)) return readInto(target, begin, signal);
      target.set(await read(begin, begin + target.byteLength, signal));
    },
  };
}

/** Ranges of whole rows; a multiple of four of them, so that no 32-bit word of the destination is written from two chunks. */
function* rowRanges({ begin, end }: TensorEntry, rows: number): Generator<ByteRange> {
  const rowBytes = (end - begin) / Math.max(1, rows);
  const step = Math.max(4, Math.floor(defaultChunkBytes / Math.max(1, rowBytes) / 4) * 4) * rowBytes;
  for (let at = begin; at < end; at += step) yield { begin: at, end: Math.min(end, at + step) };
}

async function uploadTensor(
  gpu: Gpu,
  pool: WeightPool,
  uploader: Uploader,
  { value, entry, storage }: Job,
  signal?: AbortSignal,
): Promise<GpuBuffer> {
  const { dtype: source, shape } = entry;
  if (source !== "F16" && source !== "BF16" && source !== "F32") {
    throw new FileError(`${entry.source.name}: tensor '${entry.name}' is ${source}, weights are F16, BF16 or F32`);
  }
  const target = value.dtype === "f16" ? "f16" : "f32";
  const buffer = createBuffer(gpu, storageBytes(value), entry.name);
  try {
    const [O = 1, I = 1, ...taps] = shape;
    const P = elementCount(taps);
    const count = elementCount(shape);
    const digests: string[] = [];
    let done = 0;
    for await (const chunk of readAhead(entry.source, rowRanges(entry, O), signal)) {
      digests.push(await digest(chunk));
      const elements = chunk.byteLength / bytesOf[source];
      if (storage.layout === "vector") {
        const values = toFloat32(chunk, source);
        writeBuffer(gpu, buffer, 4 * done, new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
      } else {
        // A table keeps its order: it is moved as one row per element.
        const rowElements = storage.layout === "table" ? 1 : count / O;
        const rows = [done / rowElements, (done + elements) / rowElements] as const;
        const shape3 = storage.layout === "table" ? { O: count, I: 1, P: 1 } : { O, I, P };
        await uploader.repack(chunk, buffer, { source, target, rows, ...shape3 });
      }
      done += elements;
    }
    if (done !== count)
      throw new FileError(
        `${entry.source.name}: tensor '${entry.name}' ${showShape(shape)} ended after ${done} of ${count} elements`,
      );
    return share(gpu, pool, [storage.layout, target, source, showShape(shape), ...digests].join(" "), buffer);
  } catch (error) {
    destroyBuffer(gpu, buffer);
    throw error;
  }
}

const bytesOf = { F16: 2, BF16: 2, F32: 4 } as const;

/** Chunks are hashed one by one: the platform's own digest takes whole buffers only, and a tensor may be larger than the heap should get. */
async function digest(chunk: Uint8Array): Promise<string> {
  const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", chunk as Uint8Array<ArrayBuffer>));
  return Array.from(hash, (b) => b.toString(16).padStart(2, "0")).join("");
}
