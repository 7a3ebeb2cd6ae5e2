import { describe, expect, test } from "vitest";
import { AbortError, FileError, UsageError } from "../../../src/errors.ts";
import { blobSource, bytesSource, chunks, readAhead, type ByteSource } from "../../../src/weights/source.ts";

const counting = (n: number): Uint8Array<ArrayBuffer> => Uint8Array.from({ length: n }, (_, i) => (i * 7) % 251);

/** Collects copies: a chunk is only valid until the next one. */
async function collect(pieces: AsyncIterable<Uint8Array>): Promise<Uint8Array[]> {
  const all: Uint8Array[] = [];
  for await (const piece of pieces) all.push(piece.slice());
  return all;
}

/** A source that notes its reads and how many are under way. */
function watched(bytes: Uint8Array, into: boolean) {
  const log = { reads: [] as [number, number][], underWay: 0, most: 0 };
  const slow = async (begin: number, end: number): Promise<Uint8Array> => {
    log.reads.push([begin, end]);
    log.most = Math.max(log.most, ++log.underWay);
    await new Promise((resolve) => setTimeout(resolve, 2));
    log.underWay--;
    return bytes.slice(begin, end);
  };
  const source: ByteSource = { name: "watched", size: bytes.length, read: slow };
  if (into) {
    source.readInto = async (target, begin) => target.set(await slow(begin, begin + target.length));
  }
  return { source, log };
}

describe.each([
  ["bytes", (b: Uint8Array<ArrayBuffer>) => bytesSource("x.bin", b)],
  ["blob", (b: Uint8Array<ArrayBuffer>) => blobSource(new Blob([b]), "x.bin")],
])("%s source", (_, make) => {
  const bytes = counting(1000);
  const source = make(bytes);

  test("gives exactly the bytes asked for", async () => {
    expect(source.size).toBe(1000);
    expect(await source.read(0, 1000)).toEqual(bytes);
    expect(await source.read(17, 23)).toEqual(bytes.slice(17, 23));
    expect(await source.read(999, 1000)).toEqual(bytes.slice(999));
    expect(await source.read(500, 500)).toEqual(new Uint8Array(0));
    expect(await source.read(1000, 1000)).toEqual(new Uint8Array(0));
  });

  test.each([
    [-1, 5],
    [5, 4],
    [0, 1001],
    [0.5, 4],
    [Number.NaN, 4],
    [0, Infinity],
  ])("refuses the range %d–%d, naming it and the size", async (begin, end) => {
    await expect(source.read(begin, end)).rejects.toThrow(UsageError);
    await expect(source.read(begin, end)).rejects.toThrow(/x\.bin: bytes .* it has 1000/);
  });

  test("an aborted signal stops it", async () => {
    await expect(source.read(0, 4, AbortSignal.abort("enough"))).rejects.toThrow(AbortError);
  });

  test("overlapping reads do not disturb each other", async () => {
    const ranges = Array.from({ length: 40 }, (_, i) => [i * 20, i * 20 + 150] as const);
    const pieces = await Promise.all(ranges.map(([a, b]) => source.read(a, b)));
    pieces.forEach((piece, i) => expect(piece).toEqual(bytes.slice(...ranges[i]!)));
  });
});

test("a blob that lost its file is a FileError with what to do", async () => {
  const lost = new Blob([counting(8)]);
  const slice: Blob = Object.assign(new Blob([]), { arrayBuffer: () => Promise.reject(new Error("NotReadableError")) });
  lost.slice = () => slice;
  await expect(blobSource(lost, "gone.safetensors").read(0, 8)).rejects.toThrow(
    /gone\.safetensors[\s\S]*hint: .*pick it again/,
  );
});

test("a blob that gives fewer bytes is a FileError with both numbers", async () => {
  const short = new Blob([counting(8)]);
  short.slice = () => new Blob([counting(5)]);
  const reading = blobSource(short, "short.safetensors").read(0, 8);
  await expect(reading).rejects.toThrow(FileError);
  await expect(reading).rejects.toThrow(/short\.safetensors: 8 bytes asked for at 0, 5 came/);
});

test("a File lends its name", () => {
  expect(blobSource(new File([], "model.safetensors")).name).toBe("model.safetensors");
  expect(blobSource(new Blob([])).name).toBe("blob");
});

describe("chunks", () => {
  const bytes = counting(1003);

  test.each([
    [0, 1003, 100],
    [3, 1003, 100],
    [0, 1000, 100],
    [5, 6, 100],
    [0, 1003, 2000],
    [0, 60, 1],
  ])("cover %d–%d by %d", async (begin, end, size) => {
    for (const into of [false, true]) {
      const pieces = await collect(chunks(watched(bytes, into).source, begin, end, size));
      expect(pieces).toHaveLength(Math.ceil((end - begin) / size));
      for (const piece of pieces.slice(0, -1)) expect(piece.length).toBe(size);
      expect(pieces.flatMap((piece) => [...piece])).toEqual([...bytes.slice(begin, end)]);
    }
  });

  test("an empty range has no chunks", async () => {
    expect(await collect(chunks(bytesSource("x", bytes), 7, 7))).toEqual([]);
  });

  test.each([false, true])("at most one read ahead of the caller (readInto: %s)", async (into) => {
    const { source, log } = watched(bytes, into);
    let taken = 0;
    for await (const piece of chunks(source, 0, 1003, 100)) {
      taken++;
      // Time enough to read everything, if it were allowed to.
      await new Promise((resolve) => setTimeout(resolve, 10));
      expect(log.reads.length).toBeLessThanOrEqual(taken + 1);
      expect(piece).toEqual(bytes.slice((taken - 1) * 100, taken * 100));
    }
    expect(taken).toBe(11);
    expect(log.most).toBe(1);
  });

  test("two buffers take turns where the source can fill a buffer", async () => {
    const buffers = new Set<ArrayBufferLike>();
    for await (const piece of chunks(watched(bytes, true).source, 0, 1003, 100)) buffers.add(piece.buffer);
    expect(buffers.size).toBe(2);
  });

  test("a caller that leaves early leaves no read under way", async () => {
    const { source, log } = watched(bytes, true);
    for await (const piece of chunks(source, 0, 1003, 100)) {
      expect(piece.length).toBe(100);
      break;
    }
    expect(log.underWay).toBe(0);
    expect(log.reads.length).toBe(2);
  });

  test("a failure reaches the caller at its chunk, and the ones before it are good", async () => {
    const failing: ByteSource = {
      name: "f",
      size: 400,
      read: async (begin, end) => {
        if (begin === 200) throw new FileError("broken at 200");
        return bytes.slice(begin, end);
      },
    };
    const good: number[] = [];
    await expect(async () => {
      for await (const piece of chunks(failing, 0, 400, 100)) good.push(piece.length);
    }).rejects.toThrow("broken at 200");
    expect(good).toEqual([100, 100]);
  });

  test("the signal reaches the source", async () => {
    const stop = new AbortController();
    const pieces = chunks(bytesSource("x", bytes), 0, 1003, 100, stop.signal);
    await pieces.next();
    stop.abort();
    // One was read ahead before the abort; the one after it is refused.
    await pieces.next();
    await expect(pieces.next()).rejects.toThrow(AbortError);
  });

  test("a chunk size that is none is refused", async () => {
    for (const size of [0, -4, 1.5, Number.NaN]) {
      await expect(collect(chunks(bytesSource("x", bytes), 0, 8, size))).rejects.toThrow(UsageError);
    }
    await expect(collect(chunks(bytesSource("x", bytes), 0, 2000))).rejects.toThrow(UsageError);
  });
});

test("readAhead serves ranges of any sizes and order", async () => {
  const bytes = counting(500);
  const ranges = [
    { begin: 400, end: 500 },
    { begin: 0, end: 3 },
    { begin: 0, end: 0 },
    { begin: 1, end: 499 },
  ];
  for (const into of [false, true]) {
    const pieces = await collect(readAhead(watched(bytes, into).source, ranges));
    expect(pieces).toEqual(ranges.map(({ begin, end }) => bytes.slice(begin, end)));
  }
});
