import { describe, expect, test } from "vitest";
import { FileError } from "../../../src/errors.ts";
import { dtypeBits, fileDtypes } from "../../../src/weights/dtype.ts";
import { readSafetensors } from "../../../src/weights/safetensors.ts";
import { bytesSource } from "../../../src/weights/source.ts";
import { fileOf, oneTensor, readBytes } from "./safetensors-files.ts";

const one = (dtype: string, shape: string, offsets: string, dataBytes: number): Uint8Array =>
  fileOf(oneTensor(dtype, shape, offsets), dataBytes);
describe("accepted", () => {
  test("no tensors", async () => {
    const { tensors, metadata } = await readBytes(fileOf("{}"));
    expect(tensors.size).toBe(0);
    expect(metadata.size).toBe(0);
  });

  test("rank 0, and dimensions of 0", async () => {
    const scalar = await readBytes(one("F32", "[]", "[0,4]", 4));
    expect(scalar.tensors.get("t")).toMatchObject({ shape: [], dtype: "F32" });
    const empty = await readBytes(one("F32", "[3,0,5]", "[0,0]", 0));
    expect(empty.tensors.get("t")).toMatchObject({ shape: [3, 0, 5] });
  });

  test("rank 8 and a dimension of 2^31−1", async () => {
    expect((await readBytes(one("U8", "[1,1,1,1,1,1,1,2]", "[0,2]", 2))).tensors.get("t")!.shape).toHaveLength(8);
    expect((await readBytes(one("U8", "[0,2147483647]", "[0,0]", 0))).tensors.get("t")!.shape[1]).toBe(2 ** 31 - 1);
  });

  test("white space before, after and within the header, as the reference reader has it", async () => {
    for (const text of [
      "{}   ",
      " \t\r\n{}",
      '\n{ "t" : { "dtype" : "U8" , "shape" : [ 2 , 1 ] , "data_offsets" : [ 0 , 2 ] } }\n',
    ]) {
      await expect(readBytes(fileOf(text, text.includes("U8") ? 2 : 0))).resolves.toBeDefined();
    }
  });

  test("tensors in any order in the header, an empty one where another begins", async () => {
    const file = fileOf(
      '{"c":{"dtype":"U8","shape":[3],"data_offsets":[2,5]},"e":{"dtype":"F64","shape":[0],"data_offsets":[2,2]},"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}}',
      5,
    );
    const { tensors } = await readBytes(file);
    expect([...tensors.keys()]).toEqual(["a", "e", "c"]);
    const dataBegin = file.length - 5;
    expect(tensors.get("c")).toMatchObject({ begin: dataBegin + 2, end: dataBegin + 5 });
  });

  test("data that begin at an odd byte", async () => {
    const { tensors } = await readBytes(fileOf(oneTensor("F32", "[1]", "[0,4]") + " ", 4));
    const odd = await readBytes(fileOf(oneTensor("F32", "[1]", "[0,4]"), 4));
    expect([tensors.get("t")!.begin % 2, odd.tensors.get("t")!.begin % 2].sort()).toEqual([0, 1]);
  });

  test.each(["__proto__", "constructor", "toString", "hasOwnProperty", "", "a b", "é😀", 'q"uote', "a.b.c"])(
    "the name %j",
    async (name) => {
      const { tensors } = await readBytes(
        fileOf(`{${JSON.stringify(name)}:{"dtype":"U8","shape":[2],"data_offsets":[0,2]}}`, 2),
      );
      expect([...tensors.keys()]).toEqual([name]);
      expect(tensors.get(name)!.name).toBe(name);
      expect(({} as { dtype?: string }).dtype).toBeUndefined();
    },
  );

  test("escapes in names are undone", async () => {
    const { tensors } = await readBytes(
      fileOf('{"\\u0061\\n\\\\\\"\\ud83d\\ude00":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}'),
    );
    expect([...tensors.keys()]).toEqual(['a\n\\"😀']);
  });

  test("metadata, __proto__ included, and in any place", async () => {
    const { metadata, tensors } = await readBytes(
      fileOf('{"t":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"__metadata__":{"format":"pt","__proto__":"x"}}'),
    );
    expect([...metadata]).toEqual([
      ["format", "pt"],
      ["__proto__", "x"],
    ]);
    expect(tensors.size).toBe(1);
  });

  test.each(fileDtypes)("dtype %s", async (dtype) => {
    const bytes = dtypeBits[dtype];
    const { tensors } = await readBytes(one(dtype, "[8]", `[0,${bytes}]`, bytes));
    expect(tensors.get("t")!.dtype).toBe(dtype);
  });

  test("the fields in any order", async () => {
    await expect(readBytes(fileOf('{"t":{"data_offsets":[0,1],"shape":[1],"dtype":"U8"}}', 1))).resolves.toBeDefined();
  });

  test("a header of many megabytes takes no more than time in proportion", async () => {
    const text = `{"__metadata__":{"thumbnail":"${"x".repeat(20_000_000)}"}}`;
    // Processor time: the machine may have other work. Milliseconds if linear, hours if quadratic.
    const begun = process.cpuUsage();
    const { metadata } = await readBytes(fileOf(text));
    expect(metadata.get("thumbnail")).toHaveLength(20_000_000);
    expect(process.cpuUsage(begun).user).toBeLessThan(10e6);
  });
});

describe("files of other kinds are named, not parsed", () => {
  const ascii = (text: string): Uint8Array => Uint8Array.from(text.padEnd(64, " "), (c) => c.charCodeAt(0));
  test.each<[string, Uint8Array, RegExp]>([
    ["a zip pickle", ascii("PK\x03\x04\x00\x00\x08\x08"), /is a Python pickle[\s\S]*hint: .*never read.*\.safetensors/],
    ["a pickle of protocol 2", ascii("\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."), /is a Python pickle/],
    ["a pickle of protocol 4", ascii("\x80\x04\x95\x10\x00\x00\x00\x00\x00\x00\x00}"), /is a Python pickle/],
    // Read as a length this is 640, and the file is long enough for it: byte 8 tells.
    ["a pickle that begins like a short header", fileOf("\x94\x8c", 1000, 0x0280n), /is a Python pickle/],
    ["GGUF", ascii("GGUF\x03\x00\x00\x00"), /is a GGUF file/],
    ["a Git LFS pointer", ascii("version https://git-lfs.github.com/spec/v1\n"), /Git LFS pointer[\s\S]*git lfs pull/],
    ["a web page", ascii("<!DOCTYPE html><html>"), /is a web page[\s\S]*hint: .*address/],
    ["a web page without a doctype", ascii("<html><body>"), /is a web page/],
  ])("%s", async (_, file, message) => {
    const reading = readSafetensors(bytesSource("model.ckpt", file));
    await expect(reading).rejects.toThrow(FileError);
    await expect(reading).rejects.toThrow(message);
  });

  test("a real header whose length begins with the pickle's bytes is read", async () => {
    const text = "{}".padEnd(0x0280);
    expect([...fileOf(text).subarray(0, 2)]).toEqual([0x80, 0x02]);
    expect((await readBytes(fileOf(text))).tensors.size).toBe(0);
  });
});
