import { describe, expect, it } from "vitest";
import { FileError } from "../../../src/errors.ts";
import { byteAlphabet, checkVocab, parseMerges, vocabFromMerges, type Merge } from "../../../src/text/clip-vocab.ts";

describe("byteAlphabet", () => {
  it("has 256 characters, the printing bytes first", () => {
    const alphabet = byteAlphabet();
    expect(new Set(alphabet).size).toBe(256);
    expect(alphabet[0]).toBe("!");
    expect(alphabet[93]).toBe("~");
    expect(alphabet[94]).toBe("¡");
    expect(alphabet[187]).toBe("ÿ");
    expect(alphabet[188]).toBe("Ā");
    expect(alphabet[220]).toBe("Ġ");
    expect(alphabet[255]).toBe("Ń");
  });
});

describe("parseMerges", () => {
  it("reads rules with or without header, with either line end, and rules that begin with #", () => {
    const merges: Merge[] = [
      ["i", "n"],
      ["#", "#</w>"],
    ];
    expect(parseMerges("#version: 0.2\ni n\n# #</w>\n")).toEqual(merges);
    expect(parseMerges('"bpe_simple_vocab_16e6.txt#version: 0.2\ni n\n# #</w>')).toEqual(merges);
    expect(parseMerges("i n\r\n# #</w>\r\n")).toEqual(merges);
    expect(parseMerges("")).toEqual([]);
  });

  it.each(["i n\nin", "i n\na b c", "i n\n b", "i n\n<html>"])("refuses line 2 of %j", (text) => {
    expect(() => parseMerges(text)).toThrow(FileError);
    expect(() => parseMerges(text)).toThrow(/merges\.txt line 2/);
  });
});

describe("vocabFromMerges", () => {
  it("refuses a list that was cut short, whose every special id would be wrong", () => {
    expect(() => vocabFromMerges([["i", "n"]])).toThrow(FileError);
    expect(() => vocabFromMerges([["i", "n"]])).toThrow(/1 merges.* 48894/);
  });
});

describe("checkVocab", () => {
  it("accepts a vocabulary that has every symbol and every product", () => {
    expect(() => checkVocab({ a: 0, b: 1, ab: 2 }, [["a", "b"]])).not.toThrow();
  });
  it.each([
    ["a missing product", { a: 0, b: 1 }, /merge 1 \(a b\) needs token "ab".* 2 of/],
    ["a missing symbol", { a: 0, ab: 1 }, /needs token "b"/],
    ["what objects inherit", { a: 0, b: 1, constructor: 2 }, /"ab"/],
    ["an id that is no index", { a: 0, b: 1.5, ab: 2 }, /"b" has id 1.5/],
    ["an id as text", { a: "0" as never, b: 1, ab: 2 }, /"a" has id "0"/],
  ])("refuses %s", (_, vocab, words) => {
    expect(() => checkVocab(vocab, [["a", "b"]])).toThrow(FileError);
    expect(() => checkVocab(vocab, [["a", "b"]])).toThrow(words);
  });
});
