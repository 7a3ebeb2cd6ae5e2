import { describe, expect, test } from "vitest";
import { FileError } from "../../../src/errors.ts";
import { maxEntries, maxHeaderBytes, readSafetensors } from "../../../src/weights/safetensors.ts";
import type { ByteSource } from "../../../src/weights/source.ts";
import { fileOf, oneTensor, readBytes } from "./safetensors-files.ts";

/** Case name, file, what the message must say. */
type Case = [name: string, file: Uint8Array, message: RegExp];

const one = (dtype: string, shape: string, offsets: string, dataBytes: number): Uint8Array =>
  fileOf(oneTensor(dtype, shape, offsets), dataBytes);
const two = (a: [number, number], b: [number, number], dataBytes: number): Uint8Array => {
  const entry = (name: string, [begin, end]: [number, number]): string =>
    `"${name}":{"dtype":"U8","shape":[${end - begin}],"data_offsets":[${begin},${end}]}`;
  return fileOf(`{${entry("a", a)},${entry("b", b)}}`, dataBytes);
};

describe("refused", () => {
  const size: Case[] = [
    ["an empty file", new Uint8Array(0), /0 bytes are too few/],
    ["7 bytes", new Uint8Array(7), /7 bytes are too few/],
    ["a header longer than the file", fileOf("{}", 0, 3n), /header of 3 bytes is announced, the file has 10/],
    ["a length of 2^64−1", fileOf("{}", 0, 2n ** 64n - 1n), /at most 25000000 are read/],
    ["a length of 2^53+2", fileOf("{}", 0, 2n ** 53n + 2n), /at most 25000000/],
    ["a length whose low half is small", fileOf("{}", 0, 2n ** 32n + 2n), /at most 25000000/],
    ["8 bytes announcing nothing", fileOf(""), /'\{' expected, the end found/],
  ];
  const json: Case[] = [
    ["no JSON", fileOf("{nonsense}"), /expected/],
    ["a list", fileOf("[]"), /'\{' expected, '\[' found/],
    ["a number", fileOf("12"), /'\{' expected/],
    ["an unclosed object", fileOf("{"), /'"' expected, the end found/],
    ["a trailing comma", fileOf('{"__metadata__":{},}'), /'"' expected, '}' found/],
    ["text after the end", fileOf("{}{}"), /'\{' after the end/],
    ["a NUL after the end", fileOf("{}\0"), /after the end/],
    ["white space that is not JSON's", fileOf("{}\u00a0"), /after the end/],
    ["a comment", fileOf("{/**/}"), /expected/],
    ["single quotes", fileOf("{'a':1}"), /expected/],
    ["a byte order mark", fileOf("\ufeff{}"), /'\{' expected/],
    ["a tensor that is null", fileOf('{"t":null}'), /tensor 't'.*'\{' expected/],
    ["a raw control character in a name", fileOf('{"a\nb":{}}'), /raw control character/],
    ["a broken escape in a name", fileOf('{"a\\x":{}}'), /broken escape/],
    ["a string without an end", fileOf('{"a\\'), /string without an end/],
    [
      "half a surrogate pair",
      fileOf('{"\\ud800":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}'),
      /half a surrogate pair/,
    ],
    ["bytes that are not UTF-8", fileOf(Uint8Array.of(0x7b, 0x22, 0xff, 0x22, 0x7d)), /not UTF-8/],
    ["overlong UTF-8", fileOf(Uint8Array.of(0x7b, 0x22, 0xc0, 0xaf, 0x22, 0x7d)), /not UTF-8/],
  ];
  const fields: Case[] = [
    ["no dtype", fileOf('{"t":{"shape":[0],"data_offsets":[0,0]}}'), /tensor 't': no 'dtype'/],
    ["no shape", fileOf('{"t":{"dtype":"U8","data_offsets":[0,0]}}'), /no 'shape'/],
    ["no offsets", fileOf('{"t":{"dtype":"U8","shape":[0]}}'), /no 'data_offsets'/],
    ["one offset", one("U8", "[0]", "[0]", 0), /'data_offsets' of two/],
    ["three offsets", one("U8", "[0]", "[0,0,0]", 0), /'data_offsets' of two/],
    [
      "an unknown field",
      fileOf('{"t":{"dtype":"U8","shape":[0],"data_offsets":[0,0],"scale":1}}'),
      /unknown field 'scale'/,
    ],
    ["an unknown dtype", one("F128", "[0]", "[0,0]", 0), /unknown dtype 'F128'/],
    ["a dtype in lower case", one("f32", "[1]", "[0,4]", 4), /unknown dtype 'f32'/],
    ["a dtype that objects inherit", one("constructor", "[1]", "[0,4]", 4), /unknown dtype 'constructor'/],
    ["a dtype that is no string", fileOf('{"t":{"dtype":5,"shape":[0],"data_offsets":[0,0]}}'), /'"' expected/],
    ["a shape that is no list", one("U8", "4", "[0,4]", 4), /'\[' expected/],
    ["metadata that is no text", fileOf('{"__metadata__":{"a":1}}'), /'__metadata__'.*'"' expected/],
    ["metadata that is a string", fileOf('{"__metadata__":"a"}'), /'\{' expected/],
    ["metadata that nests", fileOf('{"__metadata__":{"a":{}}}'), /'"' expected/],
  ];
  const integers: Case[] = [
    "-0",
    "-1",
    "1.0",
    "1e0",
    "1E0",
    "01",
    "+1",
    "1.",
    ".5",
    "0x1",
    "NaN",
    "Infinity",
    "1e999",
    "--1",
    "",
  ].flatMap((text): Case[] => [
    [`dimension ${text || "nothing"}`, one("U8", `[${text || " "},1]`, "[0,1]", 1), /integer|expected/],
    [`offset ${text || "nothing"}`, one("U8", "[1]", `[0,${text || " "}]`, 1), /integer|expected/],
  ]);
  const big: Case[] = [
    ["an offset above 2^53", one("U8", "[1]", "[0,9007199254740993]", 1), /'9007199254740993' is over 2\^53/],
    ["a dimension above 2^53", one("U8", "[9007199254740993]", "[0,1]", 1), /over 2\^53/],
    ["a number of 400 digits", one("U8", `[${"9".repeat(400)}]`, "[0,1]", 1), /over 2\^53/],
    ["a dimension of 2^31", one("U8", "[2147483648]", "[0,1]", 1), /dimension 2147483648 is over 2147483647/],
    ["a product that overflows", one("F32", "[2147483647,2147483647]", "[0,4]", 4), /too many elements/],
    ["a product that overflows before a 0", one("F32", "[2147483647,2147483647,0]", "[0,0]", 0), /too many elements/],
    ["rank 9", one("U8", "[1,1,1,1,1,1,1,1,1]", "[0,1]", 1), /rank 9 is over 8/],
  ];
  const layout: Case[] = [
    ["bytes that do not fill the shape", one("F32", "[2]", "[0,4]", 4), /F32 \[2\] takes 8 bytes, its offsets hold 4/],
    ["bytes that overfill the shape", one("F16", "[2]", "[0,8]", 8), /takes 4 bytes, its offsets hold 8/],
    ["an end before the begin", one("U8", "[0]", "[4,0]", 4), /ends at 0, before it begins at 4/],
    ["offsets that do not start at 0", one("U8", "[2]", "[2,4]", 4), /begins at 2, 2 bytes after the end/],
    ["a hole between tensors", two([0, 2], [3, 5], 5), /tensor 'b': it begins at 3, 1 bytes after/],
    ["tensors that overlap", two([0, 4], [2, 6], 6), /tensor 'b': it begins at 2, inside .* ends at 4/],
    ["tensors in one place", two([0, 4], [0, 4], 4), /begins at 0, inside/],
    ["data beyond the file", one("U8", "[9]", "[0,9]", 8), /ends at 9, the file has 8 bytes of data/],
    ["data that go on after the last tensor", one("U8", "[4]", "[0,4]", 5), /take 4 bytes, the file has 5/],
    ["data without tensors", fileOf("{}", 4), /take 0 bytes, the file has 4/],
    [
      "4-bit values that fill half a byte",
      one("F4", "[3]", "[0,2]", 2),
      /12 bits of F4 are not a whole number of bytes/,
    ],
    ["6-bit values that fill three quarters", one("F6_E2M3", "[1]", "[0,1]", 1), /6 bits/],
  ];
  const duplicates: Case[] = [
    // The public example: one reader saw U8[4], another F32[1].
    [
      "a second tensor of one name",
      fileOf(
        '{"t":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"t":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}',
        4,
      ),
      /a second tensor 't'/,
    ],
    [
      "a second tensor whose name is escaped",
      fileOf(
        '{"t":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"\\u0074":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}',
      ),
      /a second tensor 't'/,
    ],
    [
      "a second shape",
      fileOf('{"t":{"dtype":"U8","shape":[4],"shape":[2],"data_offsets":[0,4]}}', 4),
      /a second 'shape'/,
    ],
    [
      "a second dtype",
      fileOf('{"t":{"dtype":"U8","dtype":"I8","shape":[0],"data_offsets":[0,0]}}'),
      /a second 'dtype'/,
    ],
    ["a second __metadata__", fileOf('{"__metadata__":{},"__metadata__":{}}'), /a second '__metadata__'/],
    ["a second metadata key", fileOf('{"__metadata__":{"a":"1","a":"2"}}'), /'__metadata__': a second 'a'/],
    [
      "a second __proto__",
      fileOf(
        '{"__proto__":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"__proto__":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}',
      ),
      /a second tensor '__proto__'/,
    ],
  ];

  test.each([...size, ...json, ...fields, ...integers, ...big, ...layout, ...duplicates])(
    "%s",
    async (_, file, message) => {
      const reading = readBytes(file);
      await expect(reading).rejects.toThrow(FileError);
      await expect(reading).rejects.toThrow(message);
      await expect(reading).rejects.toThrow(/^test\.safetensors[\s\S]*\n {2}hint: ./);
    },
  );

  test("more tensors than the cap", async () => {
    const entries = Array.from(
      { length: maxEntries + 1 },
      (_, i) => `"${i}":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}`,
    );
    const all = fileOf(`{${entries.join(",")}}`);
    await expect(readBytes(all)).rejects.toThrow(/more than 200000 tensors/);
    const fewer = await readBytes(fileOf(`{${entries.slice(1).join(",")}}`));
    expect(fewer.tensors.size).toBe(maxEntries);
  });

  test("a hundred thousand tensors on top of each other", async () => {
    const entries = Array.from(
      { length: 100_000 },
      (_, i) => `"${i}":{"dtype":"F32","shape":[200,200],"data_offsets":[0,160000]}`,
    );
    await expect(readBytes(fileOf(`{${entries.join(",")}}`, 160_000))).rejects.toThrow(/inside the tensor before it/);
  });

  test("nothing is read on the word of an unchecked number", async () => {
    const asked: [number, number][] = [];
    const watch = (bytes: Uint8Array, size: number): ByteSource => ({
      name: "w",
      size,
      read: async (begin, end) => {
        asked.push([begin, end]);
        return bytes.slice(begin, end);
      },
    });
    // A file of 1 TB whose header claims just over the cap, and one whose header claims more than the file.
    await expect(readSafetensors(watch(fileOf("{", 8, BigInt(maxHeaderBytes + 1)), 1e12))).rejects.toThrow(FileError);
    await expect(readSafetensors(watch(fileOf("{", 8, 1000n), 500))).rejects.toThrow(FileError);
    expect(asked).toEqual([
      [0, 16],
      [0, 16],
    ]);
  });

  test("errors do not carry control characters of the file to the terminal", async () => {
    const error: unknown = await readBytes(one("F32", "[2]", "[0,4]", 4)).catch((e: unknown) => e);
    expect(error).toBeInstanceOf(FileError);
    const evil = fileOf('{"\\u001b[31mred\\u202e":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}', 4);
    const message = String(await readBytes(evil).catch((e: unknown) => e));
    expect(message).toContain("\\u{1b}[31mred\\u{202e}");
    expect(message).not.toMatch(/[\x1b\u202e]/);
  });
});
