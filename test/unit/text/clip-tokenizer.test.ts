import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { FileError } from "../../../src/errors.ts";
import { clipTokenizer } from "../../../src/text/clip-tokenizer.ts";
import { parseMerges, vocabFromMerges } from "../../../src/text/clip-vocab.ts";
import { tinyMerges, tinyVocab } from "./tiny.ts";

const clipMerges = readFileSync(new URL("../../../assets/clip-merges.txt", import.meta.url), "utf8");
const clip = clipTokenizer({ merges: clipMerges });
const tiny = clipTokenizer({ vocab: tinyVocab, merges: tinyMerges });

const ids = (text: string) => text.split(" ").map(Number);

/** Ids up to and with eos. */
const golden: [string, number[]][] = [
  ["a photo of a cat", ids("49406 320 1125 539 320 2368 49407")],
  ["A  Photo\n of a CAT!!", ids("49406 320 1125 539 320 2368 748 49407")],
  ["café naïve 猫 🐱 123", ids("49406 15304 1097 35689 563 163 234 360 22979 272 273 274 49407")],
  ["it's don't", ids("49406 585 568 847 713 49407")],
  // From here on: transformers 5.23.0 on the files of SD1.5.
  ["", ids("49406 49407")],
  ["# # hash ##", ids("49406 258 258 19199 15483 49407")],
  // A word-final capital sigma becomes σ, not ς.
  ["ΟΔΟΣ Σ", ids("49406 138 123 138 112 138 123 139 481 139 481 49407")],
  // U+FEFF is no blank, U+0085 is one.
  ["a\ufeffb \ufeff!c", ids("49406 320 171 119 379 321 171 119 123 256 322 49407")],
  ["a\u0085b", ids("49406 320 321 49407")],
  ["x <|endoftext|> y", ids("49406 343 49407 344 49407")],
  ["x<|EndOfText|>>!y", ids("49406 343 27 347 40786 4160 91 285 29 256 344 49407")],
  ["a<|startoftext|>b", ids("49406 320 49406 321 49407")],
];

describe("CLIP's own vocabulary, from merges alone", () => {
  it.each(golden)("%j", (prompt, expected) => {
    const actual = clip.ids(prompt);
    expect(actual).toHaveLength(77);
    expect([...actual.subarray(0, expected.length)]).toEqual(expected);
    expect(new Set(actual.subarray(expected.length))).toEqual(new Set([49407]));
  });

  it("has 49 408 tokens", () => {
    expect(Object.keys(vocabFromMerges(parseMerges(clipMerges)))).toHaveLength(49408);
    expect([clip.bos, clip.eos, clip.pad]).toEqual([49406, 49407, 49407]);
  });

  it("gives the same ids with the vocabulary spelled out, and from a tokenizer.json", () => {
    const merges = parseMerges(clipMerges);
    const vocab = vocabFromMerges(merges);
    const spelled = clipTokenizer({ vocab, merges: clipMerges });
    const pairs = clipTokenizer({ tokenizerJson: { model: { vocab, merges }, added_tokens: [] } });
    const lines = clipTokenizer({ tokenizerJson: { model: { vocab, merges: merges.map((m) => m.join(" ")) } } });
    for (const [prompt] of golden) {
      for (const other of [spelled, pairs, lines]) expect(other.ids(prompt)).toEqual(clip.ids(prompt));
    }
  });

  it("pads with ! for SD2.1, whose every ! is then the pad token", () => {
    const sd21 = clipTokenizer({ merges: clipMerges, specialTokensMap: { pad_token: "!" } });
    expect([...sd21.ids("a photo of a cat!!").subarray(0, 11)]).toEqual(
      ids("49406 320 1125 539 320 2368 0 0 49407 0 0"),
    );
  });
});

describe("length", () => {
  it("cuts a prompt of 10 000 characters and says how much, quickly", () => {
    const from = performance.now();
    expect(clip.encode("a ".repeat(5000))).toMatchObject({ tokens: 5000, cut: 4925 });
    const word = clip.encode("a".repeat(10_000));
    expect(word.cut).toBe(word.tokens - 75);
    expect(clip.encode("<|endoftext|>".repeat(800)).cut).toBe(725);
    // Each takes some 60 ms; a quadratic algorithm takes minutes.
    expect(performance.now() - from).toBeLessThan(5000);
  });

  it.each([
    [74, 0],
    [75, 0],
    [76, 1],
  ])("%i tokens: %i cut", (tokens, cut) => {
    const encoded = clip.encode("cat ".repeat(tokens));
    expect(encoded).toMatchObject({ tokens, cut });
    const kept = Math.min(tokens, 75);
    expect(encoded.ids[kept]).toBe(2368);
    expect(encoded.ids[kept + 1]).toBe(49407);
    expect(encoded.ids).toHaveLength(77);
  });

  it.each([
    [16, 16],
    [77, 77],
    [1024, 77],
    [1e30, 77],
    [undefined, 77],
  ])("model_max_length %s gives %i positions", (limit, length) => {
    const tokenizer = clipTokenizer({
      vocab: tinyVocab,
      merges: tinyMerges,
      tokenizerConfig: { model_max_length: limit },
    });
    expect(tokenizer.length).toBe(length);
    expect(tokenizer.ids("cat ".repeat(100))).toHaveLength(length);
    expect(tokenizer.encode("cat ".repeat(100)).cut).toBe(100 - (length - 2));
  });

  it.each([0, 2, -1, NaN, "77"])("refuses model_max_length %j", (limit) => {
    const make = () =>
      clipTokenizer({ vocab: tinyVocab, merges: tinyMerges, tokenizerConfig: { model_max_length: limit } });
    expect(make).toThrow(FileError);
    expect(make).toThrow(/model_max_length/);
  });
});

describe("any text", () => {
  const text = fc.oneof(
    fc.string({ unit: "binary", maxLength: 300 }),
    fc.string({ unit: "grapheme", maxLength: 300 }),
    fc.string({
      unit: fc.constantFrom("(", "[", "*", "+", "\\", "<|", "|>", "endoftext", "\ud800", " "),
      maxLength: 60,
    }),
  );
  it("becomes bos, tokens of the vocabulary, eos and padding", () => {
    fc.assert(
      fc.property(text, (prompt) => {
        const { ids, tokens, cut } = tiny.encode(prompt);
        expect(ids).toHaveLength(77);
        expect(ids[0]).toBe(tiny.bos);
        expect(ids[1 + tokens - cut]).toBe(tiny.eos);
        expect(ids.subarray(2 + tokens - cut).every((id) => id === tiny.pad)).toBe(true);
        expect(ids.every((id) => id >= 0 && id < 522)).toBe(true);
      }),
      { seed: 1, numRuns: 300 },
    );
  });

  it("does not depend on composition, case or kind of blank", () => {
    const words = fc.string({ unit: fc.constantFrom("a", "é", "ñ", "ü", "cat", "photo", "!", "7"), maxLength: 40 });
    fc.assert(
      fc.property(words, (prompt) => {
        const spaced = prompt.replaceAll("!", " ! ");
        expect(clip.ids(spaced.normalize("NFD"))).toEqual(clip.ids(spaced));
        expect(clip.ids(spaced.toUpperCase())).toEqual(clip.ids(spaced));
        expect(clip.ids(spaced.replaceAll(" ", "\n\t\u3000"))).toEqual(clip.ids(spaced));
      }),
      { seed: 1, numRuns: 100 },
    );
  });
});

describe("refuses", () => {
  it.each([
    ["no files", {}, /neither merges\.txt nor a tokenizer\.json/],
    ["a tokenizer.json of another kind", { tokenizerJson: { model: { vocab: [] } } }, /neither/],
    ["a tokenizer.json that is null", { tokenizerJson: null }, /neither/],
    ["a vocabulary of another tokenizer", { vocab: { a: 0 }, merges: "p h" }, /merge 1 \(p h\)/],
    ["CLIP's merges cut short", { merges: clipMerges.slice(0, 1000) }, /48894/],
    ["a web page", { merges: "<!DOCTYPE html>\n<html>\n" }, /merges\.txt line 2/],
    ["a damaged rule", { tokenizerJson: { model: { vocab: { a: 0 }, merges: [["a"]] } } }, /tokenizer\.json merge 1/],
  ])("%s", (_, files, words) => {
    expect(() => clipTokenizer(files)).toThrow(FileError);
    expect(() => clipTokenizer(files)).toThrow(words);
  });
});
