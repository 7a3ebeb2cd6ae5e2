import fc from "fast-check";
import { expect, test } from "vitest";
import { FileError } from "../../../src/errors.ts";
import { dtypeBits, fileDtypes } from "../../../src/weights/dtype.ts";
import { readSafetensors } from "../../../src/weights/safetensors.ts";
import { bytesSource, type ByteSource } from "../../../src/weights/source.ts";
import { encodeSafetensors, type TensorData } from "../../../src/weights/write.ts";
import { fileOf, readBytes } from "./safetensors-files.ts";

const tensorName = fc.oneof(
  fc.string({ unit: "grapheme", maxLength: 12 }),
  fc.constantFrom("__proto__", "constructor", "a.b.weight", '"', "\\", "\u2028", "\0"),
);

const tensor: fc.Arbitrary<TensorData> = fc
  .tuple(tensorName, fc.constantFrom(...fileDtypes), fc.array(fc.integer({ min: 0, max: 4 }), { maxLength: 7 }))
  // A dimension of 8 makes sub-byte types fill whole bytes.
  .map(([name, dtype, dims]) => ({ name, dtype, shape: [...dims, 8] }))
  .filter(({ name, shape }) => name !== "__metadata__" && shape.reduce((n, d) => n * d, 1) <= 2048)
  .chain(({ name, dtype, shape }) => {
    const bytes = (shape.reduce((n, d) => n * d, 1) * dtypeBits[dtype]) / 8;
    return fc.integer().map((seed) => ({
      name,
      dtype,
      shape,
      data: Uint8Array.from({ length: bytes }, (_, i) => (i * 37 + seed) & 255),
    }));
  });

const tensors = fc.uniqueArray(tensor, { selector: ({ name }) => name, maxLength: 12 });
const metadata = fc.dictionary(tensorName, fc.string({ unit: "grapheme" }), { maxKeys: 5 });

test("what the writer writes, the reader reads", async () => {
  await fc.assert(
    fc.asyncProperty(tensors, fc.option(metadata, { nil: undefined }), async (list, info) => {
      const file = encodeSafetensors(list, info);
      const read = await readBytes(file);
      expect(new Map(read.metadata)).toEqual(new Map(Object.entries(info ?? {})));
      expect([...read.tensors.keys()].sort()).toEqual(list.map(({ name }) => name).sort());
      expect((file.length - list.reduce((n, { data }) => n + data.length, 0)) % 8).toBe(0);
      for (const { name, dtype, shape, data } of list) {
        const entry = read.tensors.get(name)!;
        expect([entry.dtype, entry.shape]).toEqual([dtype, shape]);
        expect(await entry.source.read(entry.begin, entry.end)).toEqual(data);
      }
    }),
    { numRuns: 300 },
  );
});

/** Reads a file that may be anything: it must be read, or refused with a FileError, and whatever is read must hold. */
async function readAnything(bytes: Uint8Array): Promise<boolean> {
  const whole = bytesSource("any", bytes);
  const { size } = whole;
  let asked = 0;
  const source: ByteSource = {
    name: "any",
    size,
    read: async (begin, end, signal) => {
      // A range that is not in the file would be refused here as a UsageError, and fail the test.
      asked += end - begin;
      return whole.read(begin, end, signal);
    },
  };
  try {
    const { tensors: entries } = await readSafetensors(source);
    let covered = 0;
    for (const { begin, end, dtype, shape } of entries.values()) {
      expect(0 <= begin && begin <= end && end <= size).toBe(true);
      expect(shape.reduce((n, d) => n * d, 1) * dtypeBits[dtype]).toBe(8 * (end - begin));
      covered += end - begin;
    }
    expect(covered).toBeLessThan(size);
    return true;
  } catch (error) {
    if (!(error instanceof FileError)) throw error;
    return false;
  } finally {
    expect(asked).toBeLessThanOrEqual(size + 16);
  }
}

const numbers = [
  "0",
  "-0",
  "1",
  "1.0",
  "1e9",
  "9007199254740993",
  "18446744073709551615",
  "-1",
  "2147483648",
  "4294967296",
];

test("a file with bytes changed, cut, added or digits swapped is read or refused, never anything else", async () => {
  let [good, bad] = [0, 0];
  const change = fc.oneof(
    fc.record({ kind: fc.constant("set" as const), at: fc.nat(), to: fc.integer({ min: 0, max: 255 }) }),
    fc.record({ kind: fc.constant("cut" as const), at: fc.nat(), to: fc.nat(40) }),
    fc.record({ kind: fc.constant("add" as const), at: fc.nat(), to: fc.nat(40) }),
    fc.record({ kind: fc.constant("number" as const), at: fc.nat(), to: fc.nat(numbers.length - 1) }),
  );
  await fc.assert(
    fc.asyncProperty(tensors, fc.array(change, { minLength: 1, maxLength: 6 }), async (list, changes) => {
      let file: Uint8Array = encodeSafetensors(list);
      for (const { kind, at: anywhere, to } of changes) {
        if (file.length === 0) break;
        // Mostly in the header, where it matters.
        const at = anywhere % Math.min(file.length, 600);
        if (kind === "set") file[at] = to;
        else if (kind === "cut") file = Buffer.concat([file.subarray(0, at), file.subarray(at + to)]);
        else if (kind === "add") file = Buffer.concat([file.subarray(0, at), file.subarray(0, to), file.subarray(at)]);
        else file = swapNumber(file, anywhere, numbers[to]!);
      }
      if (await readAnything(file)) good++;
      else bad++;
    }),
    { numRuns: 3000 },
  );
  // Both ways were really taken.
  expect(good).toBeGreaterThan(50);
  expect(bad).toBeGreaterThan(1000);
});

/** Puts another number in place of one in the header, and corrects the header's length. */
function swapNumber(file: Uint8Array, which: number, to: string): Uint8Array {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  if (file.length < 8 || view.getUint32(0, true) > file.length - 8) return file;
  const end = 8 + view.getUint32(0, true);
  const text = Buffer.from(file.subarray(8, end)).toString("latin1");
  const places = [...text.matchAll(/\d+/g)];
  const place = places[which % Math.max(1, places.length)];
  if (place === undefined) return file;
  const header = text.slice(0, place.index) + to + text.slice(place.index + place[0].length);
  return Buffer.concat([fileOf(Buffer.from(header, "latin1")), file.subarray(end)]);
}

test("any bytes", async () => {
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 200 }), async (bytes) => void (await readAnything(bytes))),
    { numRuns: 1000 },
  );
});

test("any JSON as a header", async () => {
  await fc.assert(
    fc.asyncProperty(fc.json(), fc.nat(20), async (text, data) => void (await readAnything(fileOf(text, data)))),
    { numRuns: 1000 },
  );
});

test("any text made of a header's own pieces", async () => {
  const piece = fc.constantFrom(
    "{",
    "}",
    "[",
    "]",
    ":",
    ",",
    '"',
    '"t"',
    '"dtype"',
    '"U8"',
    '"shape"',
    '"data_offsets"',
    "0",
    "1",
    "\\",
    " ",
    "[0,1]",
    "[1]",
    '"__metadata__"',
  );
  await fc.assert(
    fc.asyncProperty(
      fc.array(piece, { maxLength: 30 }),
      async (pieces) => void (await readAnything(fileOf(pieces.join(""), 1))),
    ),
    { numRuns: 3000 },
  );
});
