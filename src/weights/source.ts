import { AbortError, FileError, UsageError } from "../errors.ts";

/** A named run of bytes of known length that is read by ranges: a URL, a picked file, a file on disk, a buffer. */
export interface ByteSource {
  readonly name: string;
  /** Bytes. */
  readonly size: number;
  /** Exactly `end − begin` bytes, for reading only (they may be a view of the source's own memory).
   *  @throws {FileError} the source gave fewer bytes, or failed   @throws {UsageError} the range is not within the source */
  read(begin: number, end: number, signal?: AbortSignal): Promise<Uint8Array>;
  /** Fills `target` with the bytes from `begin` on. Sources have it where it saves an allocation per read. */
  readInto?(target: Uint8Array, begin: number, signal?: AbortSignal): Promise<void>;
}

/** Bytes of one piece when a source is streamed: large enough to hide a request, small beside the 64 MiB heap budget. */
export const defaultChunkBytes = 4 * 1024 * 1024;

/** A buffer as a source. The buffer is not copied. */
export function bytesSource(name: string, bytes: Uint8Array): ByteSource {
  const source: ByteSource = {
    name,
    size: bytes.byteLength,
    async read(begin, end, signal) {
      checkRange(source, begin, end, signal);
      return bytes.subarray(begin, end);
    },
  };
  return source;
}

/** A `Blob` or picked `File` as a source; only the slices asked for reach the heap. */
export function blobSource(blob: Blob, name = "name" in blob ? String(blob.name) : "blob"): ByteSource {
  const source: ByteSource = {
    name,
    size: blob.size,
    async read(begin, end, signal) {
      checkRange(source, begin, end, signal);
      if (begin === end) return new Uint8Array(0);
      let bytes: Uint8Array;
      try {
        bytes = new Uint8Array(await blob.slice(begin, end).arrayBuffer());
      } catch (cause) {
        throw new FileError(
          `${name}: bytes ${begin}–${end} could not be read`,
          "a browser loses a picked file that changed on disk: pick it again",
          { cause },
        );
      }
      checkAborted(signal, name);
      if (bytes.byteLength !== end - begin) throw shortRead(name, begin, end, bytes.byteLength);
      return bytes;
    },
  };
  return source;
}

/** The bytes from `begin` to `end` in pieces of `chunkBytes`, the next one being read while the caller has this one.
 *
 *  A piece is valid until the next one is asked for: two buffers take turns, so that the heap stays at two pieces
 *  whatever the garbage collector does. Copy what has to live longer. */
export async function* chunks(
  source: ByteSource,
  begin: number,
  end: number,
  chunkBytes = defaultChunkBytes,
  signal?: AbortSignal,
): AsyncGenerator<Uint8Array, void, undefined> {
  if (!(Number.isSafeInteger(chunkBytes) && chunkBytes > 0))
    throw new UsageError(`chunk size ${chunkBytes} is no size`);
  checkRange(source, begin, end, signal);
  yield* readAhead(source, splitRange(begin, end, chunkBytes), signal);
}

/** Consecutive ranges of at most `chunkBytes` that cover `begin` to `end`. */
function* splitRange(begin: number, end: number, chunkBytes: number): Generator<ByteRange> {
  for (let at = begin; at < end; at += chunkBytes) yield { begin: at, end: Math.min(end, at + chunkBytes) };
}

export interface ByteRange {
  readonly begin: number;
  readonly end: number;
}

/** The bytes of each range in turn with one read ahead; like `chunks`, each is valid until the next is asked for. */
export async function* readAhead(
  source: ByteSource,
  ranges: Iterable<ByteRange>,
  signal?: AbortSignal,
): AsyncGenerator<Uint8Array, void, undefined> {
  const stop = new AbortController();
  const both = signal === undefined ? stop.signal : AbortSignal.any([signal, stop.signal]);
  const buffers = [new Uint8Array(0), new Uint8Array(0)];
  let turn = 0;
  const start = async ({ begin, end }: ByteRange): Promise<Uint8Array> => {
    if (source.readInto === undefined) return source.read(begin, end, both);
    const which = turn++ % 2;
    if (buffers[which]!.byteLength < end - begin) buffers[which] = new Uint8Array(end - begin);
    const target = buffers[which]!.subarray(0, end - begin);
    await source.readInto(target, begin, both);
    return target;
  };
  const todo = ranges[Symbol.iterator]();
  const startNext = (): Promise<Uint8Array> | undefined => {
    const next = todo.next();
    if (next.done === true) return undefined;
    const reading = start(next.value);
    // Its failure is reported when it is awaited below; until then it must not count as unhandled.
    reading.catch(() => undefined);
    return reading;
  };
  let pending = startNext();
  try {
    while (pending !== undefined) {
      const bytes: Uint8Array = await pending;
      pending = startNext();
      yield bytes;
    }
  } finally {
    // A caller that leaves early must not find a read still under way on a source it goes on to close.
    stop.abort();
    await pending?.catch(() => undefined);
  }
}

/** @throws {UsageError} not 0 ≤ begin ≤ end ≤ size   @throws {AbortError} the signal is aborted */
export function checkRange(source: ByteSource, begin: number, end: number, signal?: AbortSignal): void {
  checkAborted(signal, source.name);
  if (!(Number.isSafeInteger(begin) && Number.isSafeInteger(end) && 0 <= begin && begin <= end && end <= source.size)) {
    throw new UsageError(`${source.name}: bytes ${begin}–${end} asked for, it has ${source.size}`);
  }
}

export function checkAborted(signal: AbortSignal | undefined, name: string): void {
  if (signal?.aborted === true) {
    throw new AbortError(`reading ${name} was stopped`, undefined, { cause: signal.reason });
  }
}

export function shortRead(name: string, begin: number, end: number, got: number, cause?: unknown): FileError {
  return new FileError(
    `${name}: ${end - begin} bytes asked for at ${begin}, ${got} came`,
    "the file was cut short or changed while it was being read: fetch it again",
    { cause },
  );
}
