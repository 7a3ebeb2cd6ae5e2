import { byteAlphabet, endOfText, startOfText, type Vocab } from "../../../src/text/clip-vocab.ts";

/** A CLIP tokenizer of 522 tokens: 256 bytes, the same ending a word, eight merges, two specials. */
const rules = ["a t</w>", "c at</w>", "p h", "ph o", "pho t", "phot o</w>", "# #</w>", "! !</w>"];

export const tinyMerges = `#version: 0.2\n${rules.join("\n")}\n`;

export const tinyVocab: Vocab = Object.fromEntries(
  [
    ...byteAlphabet(),
    ...byteAlphabet().map((c) => `${c}</w>`),
    ...rules.map((rule) => rule.replace(" ", "")),
    startOfText,
    endOfText,
  ].map((token, id) => [token, id]),
);
