import { Tokenizer } from "@huggingface/tokenizers";
import { FileError } from "../errors.ts";
import { checkVocab, parseMerge, parseMerges, vocabFromMerges, type Merge, type Vocab } from "./clip-vocab.ts";
import { specialTokens, splitAt, type SpecialTokens } from "./special-tokens.ts";

/** Positions CLIP's text encoders have. */
export const clipPositions = 77;

/** The files of a checkpoint's `tokenizer/` folder, as parsed (`merges` as text). Either `merges`, with `vocab` unless
 *  it is CLIP's own, or the `tokenizer.json` of newer folders. */
export interface ClipTokenizerFiles {
  readonly vocab?: Vocab | undefined;
  readonly merges?: string | undefined;
  readonly tokenizerJson?: unknown;
  readonly specialTokensMap?: Readonly<Record<string, unknown>> | undefined;
  readonly tokenizerConfig?: Readonly<Record<string, unknown>> | undefined;
}

export interface TokenizedPrompt {
  /** [T]: bos, the prompt's tokens, eos, padding. */
  readonly ids: Int32Array;
  /** Tokens the prompt has, bos and eos not counted. */
  readonly tokens: number;
  /** How many of them did not fit. */
  readonly cut: number;
}

export interface ClipTokenizer {
  /** T: `model_max_length`, at most 77. */
  readonly length: number;
  readonly bos: number;
  readonly eos: number;
  readonly pad: number;
  encode(prompt: string): TokenizedPrompt;
  /** The ids alone, [T]. */
  ids(prompt: string): Int32Array;
}

// Each contraction, number sign and run of letters or of other signs is BPE'd alone. Two passes, because a special token's
// text that was not recognised as such (capitals, where only the exact spelling counts) is first cut out whole, then split.
const words = String.raw`'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+`;
const specialText = String.raw`<\|startoftext\|>|<\|endoftext\|>`;

/** A CLIP tokenizer: Unicode NFC, blanks collapsed, lower case, byte-level BPE, then bos + ≤ T−2 tokens + eos + padding.
 *
 *  Equals transformers' `CLIPTokenizer` with `padding="max_length", truncation=True`, special spellings included: a
 *  prompt containing `<|endoftext|>` gets that token. Brackets and weights are plain text.
 *  @throws {FileError} files are damaged or do not belong together
 *  @see Radford et al. 2021, arXiv:2103.00020 §2.4 */
export function clipTokenizer(files: ClipTokenizerFiles): ClipTokenizer {
  const { vocab, merges, addedTokens } = readModel(files);
  const special = specialTokens(vocab, { ...files, addedTokens });
  const length = sequenceLength(files.tokenizerConfig?.["model_max_length"]);
  const bpe = new Tokenizer(tokenizerJson(vocab, merges, special), {});
  // Tokens that count only as typed are cut out here: the library takes a piece that merely becomes one by cleaning
  // (`<|EndOfText|>`) for the token itself.
  const typed = special.added.filter((token) => !token.normalized);

  const encode = (prompt: string): TokenizedPrompt => {
    // JavaScript lower-cases a word-final Σ to ς by context, the training tokenizer letter by letter to σ.
    const tokens = splitAt(typed, prompt.replaceAll("Σ", "σ")).flatMap((piece) =>
      typeof piece === "string" ? bpe.encode(piece, { add_special_tokens: false }).ids : piece.id,
    );
    const kept = Math.min(tokens.length, length - 2);
    const ids = new Int32Array(length).fill(special.pad);
    ids[0] = special.bos;
    for (let k = 0; k < kept; k++) ids[k + 1] = tokens[k]!;
    ids[kept + 1] = special.eos;
    return { ids, tokens: tokens.length, cut: tokens.length - kept };
  };
  return {
    length,
    bos: special.bos,
    eos: special.eos,
    pad: special.pad,
    encode,
    ids: (prompt) => encode(prompt).ids,
  };
}

function readModel(files: ClipTokenizerFiles): { vocab: Vocab; merges: Merge[]; addedTokens?: readonly unknown[] } {
  if (files.merges !== undefined) {
    const merges = parseMerges(files.merges);
    if (files.vocab === undefined) {
      const vocab = vocabFromMerges(merges);
      return { vocab, merges: merges.filter(([left, right]) => Object.hasOwn(vocab, left + right)) };
    }
    checkVocab(files.vocab, merges);
    return { vocab: files.vocab, merges };
  }
  const json = files.tokenizerJson as
    | { model?: { vocab?: Vocab; merges?: readonly (string | Merge)[] }; added_tokens?: readonly unknown[] }
    | null
    | undefined;
  const { vocab, merges: rules } = json?.model ?? {};
  if (typeof vocab !== "object" || vocab === null || !Array.isArray(rules)) {
    throw new FileError(
      "tokenizer: neither merges.txt nor a tokenizer.json with a BPE model",
      "a tokenizer folder holds vocab.json and merges.txt; for CLIP's own vocabulary merges.txt alone is enough",
    );
  }
  // Written as "a b" up to transformers 4.44, as ["a", "b"] since.
  const merges = (rules as readonly (string | Merge)[]).map((rule, k) =>
    parseMerge(typeof rule === "string" ? rule : rule.join(" "), `tokenizer.json merge ${k + 1}`),
  );
  checkVocab(vocab, merges);
  return { vocab, merges, addedTokens: Array.isArray(json?.added_tokens) ? json.added_tokens : [] };
}

function sequenceLength(maxLength: unknown): number {
  if (maxLength === undefined || maxLength === null) return clipPositions;
  if (typeof maxLength !== "number" || !(maxLength >= 3)) {
    throw new FileError(
      `tokenizer_config.json: model_max_length ${JSON.stringify(maxLength)} leaves no room between bos and eos`,
      `CLIP's text encoders take ${clipPositions} positions`,
    );
  }
  // A config without a limit is written as 1e30.
  return Math.min(Math.floor(maxLength), clipPositions);
}

function tokenizerJson(vocab: Vocab, merges: readonly Merge[], special: SpecialTokens): object {
  const split = (regex: string) => ({ type: "Split", pattern: { Regex: regex }, behavior: "Removed", invert: true });
  return {
    added_tokens: special.added.filter((token) => token.normalized),
    normalizer: {
      type: "Sequence",
      normalizers: [
        { type: "NFC" },
        { type: "Replace", pattern: { Regex: String.raw`\s+` }, content: " " },
        { type: "Lowercase" },
      ],
    },
    pre_tokenizer: {
      type: "Sequence",
      pretokenizers: [
        split(`${specialText}|${words}`),
        split(words),
        // Its own splitting takes U+FEFF for a blank and is not needed after the two above.
        { type: "ByteLevel", add_prefix_space: false, use_regex: false },
      ],
    },
    post_processor: null,
    decoder: null,
    model: {
      type: "BPE",
      vocab,
      merges,
      unk_token: special.unknown,
      end_of_word_suffix: "</w>",
      continuing_subword_prefix: "",
      fuse_unk: false,
    },
  };
}
