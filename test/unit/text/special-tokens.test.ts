import { describe, expect, it } from "vitest";
import { FileError } from "../../../src/errors.ts";
import { clipTokenizer } from "../../../src/text/clip-tokenizer.ts";
import { endOfText as end, startOfText as start } from "../../../src/text/clip-vocab.ts";
import { splitAt, type AddedToken } from "../../../src/text/special-tokens.ts";
import { tinyMerges, tinyVocab } from "./tiny.ts";

/** A full entry of special_tokens_map.json. */
const token = (content: string, normalized: boolean) => ({
  content,
  lstrip: false,
  normalized,
  rstrip: false,
  single_word: false,
});

const prompts = [
  "photo!! ! cat",
  "a <|endoftext|> cat",
  "a <|EndOfText|> cat",
  "<|EndOfText|>",
  "<|endoftext|><|EndOfText|>>!<|startoftext|>",
  "a <Cat-Toy> ##",
];

/** How the files decide, by the ids that transformers 5.23.0 gives for the prompts above. */
const folders: {
  name: string;
  map: Record<string, unknown> | undefined;
  config: Record<string, unknown>;
  pad: number;
  ids: number[][];
}[] = [
  {
    name: "SD1.5",
    map: { bos_token: token(start, true), eos_token: token(end, true), pad_token: end, unk_token: token(end, true) },
    config: { model_max_length: 77, pad_token: end },
    pad: 521,
    ids: [
      [520, 517, 519, 256, 513, 521],
      [520, 320, 521, 513, 521],
      [520, 320, 27, 347, 68, 77, 67, 78, 69, 83, 68, 87, 339, 91, 285, 513, 521],
      [520, 27, 347, 68, 77, 67, 78, 69, 83, 68, 87, 339, 91, 285, 521],
      [520, 521, 27, 347, 68, 77, 67, 78, 69, 83, 68, 87, 339, 91, 285, 29, 256, 520, 521],
      [520, 320, 283, 513, 268, 83, 78, 344, 285, 518, 521],
    ],
  },
  {
    name: "SD2.1: the map wins over the config",
    map: { bos_token: token(start, true), eos_token: token(end, true), pad_token: "!", unk_token: token(end, true) },
    config: { model_max_length: 77, pad_token: end },
    pad: 0,
    ids: [
      [520, 517, 0, 0, 0, 513, 521],
      [520, 320, 521, 513, 521],
      [520, 320, 521, 513, 521],
      [520, 521, 521],
      [520, 521, 521, 285, 0, 520, 521],
      [520, 320, 283, 513, 268, 83, 78, 344, 285, 518, 521],
    ],
  },
  {
    name: "no files but the vocabulary",
    map: undefined,
    config: {},
    pad: 521,
    ids: [
      [520, 517, 519, 256, 513, 521],
      [520, 320, 521, 513, 521],
      [520, 320, 27, 347, 68, 77, 67, 78, 69, 83, 68, 87, 339, 91, 285, 513, 521],
      [520, 27, 347, 68, 77, 67, 78, 69, 83, 68, 87, 339, 91, 285, 521],
      [520, 521, 27, 347, 68, 77, 67, 78, 69, 83, 68, 87, 339, 91, 285, 29, 256, 520, 521],
      [520, 320, 283, 513, 268, 83, 78, 344, 285, 518, 521],
    ],
  },
  {
    name: "tokens as bare strings",
    map: { bos_token: start, eos_token: end, pad_token: end, unk_token: end },
    config: {},
    pad: 521,
    ids: [
      [520, 517, 519, 256, 513, 521],
      [520, 320, 521, 513, 521],
      [520, 320, 27, 347, 68, 77, 67, 78, 69, 83, 68, 87, 339, 91, 285, 513, 521],
      [520, 27, 347, 68, 77, 67, 78, 69, 83, 68, 87, 339, 91, 285, 521],
      [520, 521, 27, 347, 68, 77, 67, 78, 69, 83, 68, 87, 339, 91, 285, 29, 256, 520, 521],
      [520, 320, 283, 513, 268, 83, 78, 344, 285, 518, 521],
    ],
  },
  {
    name: "a config with added_tokens_decoder is complete, the map is not read",
    map: { pad_token: "!" },
    config: {
      added_tokens_decoder: { 520: token(start, true), 521: token(end, true) },
      bos_token: start,
      eos_token: end,
      pad_token: end,
      unk_token: end,
    },
    pad: 521,
    ids: [
      [520, 517, 519, 256, 513, 521],
      [520, 320, 521, 513, 521],
      [520, 320, 521, 513, 521],
      [520, 521, 521],
      [520, 521, 521, 29, 256, 520, 521],
      [520, 320, 283, 513, 268, 83, 78, 344, 285, 518, 521],
    ],
  },
  {
    name: "SDXL tokenizer 2",
    map: { pad_token: "!" },
    config: {
      added_tokens_decoder: { 0: token("!", false), 520: token(start, true), 521: token(end, true) },
      bos_token: start,
      eos_token: end,
      pad_token: "!",
      unk_token: end,
    },
    pad: 0,
    ids: [
      [520, 517, 0, 0, 0, 513, 521],
      [520, 320, 521, 513, 521],
      [520, 320, 521, 513, 521],
      [520, 521, 521],
      [520, 521, 521, 285, 0, 520, 521],
      [520, 320, 283, 513, 268, 83, 78, 344, 285, 518, 521],
    ],
  },
  {
    name: "config entries without a map",
    map: undefined,
    config: {
      bos_token: token(start, true),
      eos_token: token(end, true),
      unk_token: token(end, true),
      pad_token: token(end, true),
    },
    pad: 521,
    ids: [
      [520, 517, 519, 256, 513, 521],
      [520, 320, 521, 513, 521],
      [520, 320, 521, 513, 521],
      [520, 521, 521],
      [520, 521, 521, 29, 256, 520, 521],
      [520, 320, 283, 513, 268, 83, 78, 344, 285, 518, 521],
    ],
  },
  {
    name: "a learned word beside the vocabulary",
    map: undefined,
    config: {
      added_tokens_decoder: { 520: token(start, true), 521: token(end, true), 522: token("<cat-toy>", true) },
      bos_token: start,
      eos_token: end,
      pad_token: end,
      unk_token: end,
    },
    pad: 521,
    ids: [
      [520, 517, 519, 256, 513, 521],
      [520, 320, 521, 513, 521],
      [520, 320, 521, 513, 521],
      [520, 521, 521],
      [520, 521, 521, 29, 256, 520, 521],
      [520, 320, 522, 518, 521],
    ],
  },
];

describe.each(folders)("$name", ({ map, config, pad, ids }) => {
  const tokenizer = clipTokenizer({
    vocab: tinyVocab,
    merges: tinyMerges,
    specialTokensMap: map,
    tokenizerConfig: config,
  });

  it.each(prompts.map((prompt, k) => [prompt, ids[k]!] as const))("%s", (prompt, expected) => {
    const padded = [...expected, ...Array<number>(77 - expected.length).fill(pad)];
    expect([...tokenizer.ids(prompt)]).toEqual(padded);
  });
});

describe("refusals", () => {
  const make =
    (specialTokensMap: Record<string, unknown>, tokenizerConfig = {}) =>
    () =>
      clipTokenizer({ vocab: tinyVocab, merges: tinyMerges, specialTokensMap, tokenizerConfig });

  it.each([
    ["a token the vocabulary lacks", make({ pad_token: "<pad>" }), /pad_token "<pad>" is not among the 522/],
    ["a token that is a number", make({ bos_token: 5 }), /bos_token is 5/],
    ["an empty token", make({ eos_token: "" }), /eos_token is ""/],
    ["an entry without content", make({ eos_token: { normalized: true } }), /eos_token/],
    ["a listed token without id", make({}, { added_tokens_decoder: { x: token("<new>", false) } }), /"<new>"/],
  ])("%s", (_, create, words) => {
    expect(create).toThrow(FileError);
    expect(create).toThrow(words);
  });
});

describe("splitAt", () => {
  const added = (content: string, id: number): AddedToken => ({ id, content, normalized: false, special: true });
  const cut = (text: string, ...contents: string[]) =>
    splitAt(contents.map(added), text).map((piece) => (typeof piece === "string" ? piece : piece.id));

  it("finds the leftmost token, the longest of several that begin there", () => {
    expect(cut("a<b>c", "<b>")).toEqual(["a", 0, "c"]);
    expect(cut("<b><b>", "<b>")).toEqual([0, 0]);
    expect(cut("xaab", "aa", "aab", "ab")).toEqual(["x", 1]);
    expect(cut("a.*b", ".*", "(")).toEqual(["a", 0, "b"]);
    expect(cut("", "<b>")).toEqual([]);
    expect(cut("abc")).toEqual(["abc"]);
  });
});
