import { FileError } from "../errors.ts";

/** Token → id, as in `vocab.json`. */
export type Vocab = Readonly<Record<string, number>>;

/** One BPE rule: the two symbols that become one. Its position in the list is its rank. */
export type Merge = readonly [string, string];

/** Merge rules CLIP was trained with; the file they come from goes on, so the count is part of the format. */
export const clipMergeCount = 48_894;

export const startOfText = "<|startoftext|>";
export const endOfText = "<|endoftext|>";

const endOfWord = "</w>";

/** The 256 characters that stand for bytes 0…255, in vocabulary order: bytes that print stand for themselves and come
 *  first, the others follow as U+0100, U+0101, …   @see Radford et al. 2019 (GPT-2), byte-level BPE */
export function byteAlphabet(): string[] {
  const prints = (b: number) => (b >= 0x21 && b <= 0x7e) || (b >= 0xa1 && b !== 0xad);
  const bytes = Array.from({ length: 256 }, (_, b) => b);
  const printing = bytes.filter(prints);
  const others = bytes.filter((b) => !prints(b));
  return [...printing, ...others.map((_, k) => 256 + k)].map((c) => String.fromCharCode(c));
}

/** Reads `merges.txt`: an optional `#version` header, then one `left right` pair a line, best first.
 *  @throws {FileError} a line is not two symbols */
export function parseMerges(text: string): Merge[] {
  const merges: Merge[] = [];
  // Only the header may be skipped as a comment: `# #` and `# :` are rules of CLIP's own list.
  for (const [k, line] of text.split("\n").entries()) {
    const rule = line.endsWith("\r") ? line.slice(0, -1) : line;
    if (rule === "" || (k === 0 && rule.includes("#version"))) continue;
    merges.push(parseMerge(rule, `merges.txt line ${k + 1}`));
  }
  return merges;
}

/** Reads one rule, `left right`.   @throws {FileError} it is not two symbols, naming `where` */
export function parseMerge(rule: string, where: string): Merge {
  const [left, right, rest] = rule.split(" ");
  if (left && right && rest === undefined) return [left, right];
  throw new FileError(
    `${where}: wants 2 symbols separated by one space, has ${JSON.stringify(rule.slice(0, 60))}`,
    "this is not a BPE merge list, or it is damaged; download it again",
  );
}

/** CLIP's 49 408 tokens from its merges alone: 256 bytes, the same ending a word, one token a merge, two specials.
 *  @throws {FileError} fewer than 48 894 merges, so that every later id would be wrong */
export function vocabFromMerges(merges: readonly Merge[]): Vocab {
  if (merges.length < clipMergeCount) {
    throw new FileError(
      `merges.txt: ${merges.length} merges, CLIP's vocabulary is made of ${clipMergeCount}`,
      "the list is cut short, or it belongs to another tokenizer and needs its vocab.json",
    );
  }
  const bytes = byteAlphabet();
  const merged = merges.slice(0, clipMergeCount).map(([left, right]) => left + right);
  const tokens = [...bytes, ...bytes.map((c) => c + endOfWord), ...merged, startOfText, endOfText];
  return Object.fromEntries(tokens.map((token, id) => [token, id]));
}

/** Holds that vocabulary and merges belong together.
 *  @throws {FileError} an id is no index, or a merge makes or uses a token the vocabulary lacks */
export function checkVocab(vocab: Vocab, merges: readonly Merge[]): void {
  const has = (token: string) => Object.hasOwn(vocab, token);
  for (const [token, id] of Object.entries(vocab)) {
    if (!Number.isSafeInteger(id) || id < 0) {
      throw new FileError(`vocab.json: token ${JSON.stringify(token)} has id ${JSON.stringify(id)}, not an index ≥ 0`);
    }
  }
  for (const [rank, [left, right]] of merges.entries()) {
    const missing = [left, right, left + right].find((token) => !has(token));
    if (missing !== undefined) {
      throw new FileError(
        `merges.txt: merge ${rank + 1} (${left} ${right}) needs token ${JSON.stringify(missing)}, ` +
          `which is not among the ${Object.keys(vocab).length} of vocab.json`,
        "vocab.json and merges.txt must come from the same tokenizer folder",
      );
    }
  }
}
