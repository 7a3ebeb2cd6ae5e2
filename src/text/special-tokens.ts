import { FileError } from "../errors.ts";
import { endOfText, startOfText, type Vocab } from "./clip-vocab.ts";

/** A token that is found in the prompt's text as a whole, before BPE. */
export interface AddedToken {
  readonly id: number;
  readonly content: string;
  /** Looked for after cleaning (true), so also in capitals, or in the text as typed (false). */
  readonly normalized: boolean;
  readonly special: boolean;
}

export interface SpecialTokens {
  readonly bos: number;
  readonly eos: number;
  readonly pad: number;
  readonly unknown: string;
  readonly added: readonly AddedToken[];
}

/** `special_tokens_map.json`, `tokenizer_config.json`, and the `added_tokens` of a `tokenizer.json`, as parsed. */
export interface SpecialTokenFiles {
  readonly specialTokensMap?: Readonly<Record<string, unknown>> | undefined;
  readonly tokenizerConfig?: Readonly<Record<string, unknown>> | undefined;
  readonly addedTokens?: readonly unknown[] | undefined;
}

const keys = ["bos_token", "eos_token", "unk_token", "pad_token"] as const;
const defaults = { bos_token: startOfText, eos_token: endOfText, unk_token: endOfText, pad_token: endOfText };

/** Which tokens open, close and fill a prompt, and which are recognised inside it, as transformers 5 decides it:
 *  a `tokenizer_config.json` with `added_tokens_decoder` is complete and the map is not read; otherwise the map wins
 *  over the config (SD2.1's map says `!`, its config says `<|endoftext|>`; the model was trained with `!`).
 *  The pad token is recognised inside a prompt too: under SD2.1 every `!` is token 0.
 *  @throws {FileError} an entry is no token, or the vocabulary lacks it */
export function specialTokens(vocab: Vocab, files: SpecialTokenFiles): SpecialTokens {
  const config = files.tokenizerConfig ?? {};
  const decoder = config["added_tokens_decoder"];
  const complete = isRecord(decoder);
  const map = complete ? {} : (files.specialTokensMap ?? {});
  const listed = complete
    ? Object.entries(decoder).map(([id, token]) => ({ id: Number(id), ...readToken("added_tokens_decoder", token) }))
    : (files.addedTokens ?? []).map((token) => ({
        id: isRecord(token) ? Number(token["id"]) : NaN,
        ...readToken("added_tokens", token),
      }));

  const added = new Map<string, AddedToken>();
  for (const token of listed) {
    const id = Object.hasOwn(vocab, token.content) ? vocab[token.content]! : token.id;
    if (!Number.isSafeInteger(id) || id < 0) {
      throw new FileError(`tokenizer_config.json: added token ${JSON.stringify(token.content)} has no usable id`);
    }
    added.set(token.content, { ...token, id });
  }
  const isListed = new Set(added.keys());

  const named = keys.map((key) => {
    const raw = map[key] ?? config[key] ?? defaults[key];
    const token = readToken(key, raw);
    const known = added.get(token.content);
    // A bare string names a listed token if there is one; otherwise it means "as typed", even where an earlier entry with
    // the same content said otherwise. Among full entries the first one counts. So it is in transformers.
    if (known && (isListed.has(token.content) || typeof raw !== "string")) return known;
    const id = known?.id ?? (Object.hasOwn(vocab, token.content) ? vocab[token.content] : undefined);
    if (id === undefined) {
      throw new FileError(
        `tokenizer: ${key} ${JSON.stringify(token.content)} is not among the ${Object.keys(vocab).length} tokens of vocab.json`,
        "special_tokens_map.json, tokenizer_config.json and vocab.json must come from the same folder",
      );
    }
    const entry: AddedToken = { ...token, id, special: true };
    added.set(token.content, entry);
    return entry;
  });
  const [bos, eos, unknown, pad] = named as [AddedToken, AddedToken, AddedToken, AddedToken];
  return { bos: bos.id, eos: eos.id, pad: pad.id, unknown: unknown.content, added: [...added.values()] };
}

/** Cuts a text at every occurrence of the tokens, leftmost first, the longest where several begin. */
export function splitAt(tokens: readonly AddedToken[], text: string): (string | AddedToken)[] {
  const pieces: (string | AddedToken)[] = [];
  // Where each token occurs next: looked up again only once passed, so a long prompt is scanned once per token.
  const next = tokens.map((token) => text.indexOf(token.content));
  for (let from = 0; ;) {
    let found = -1;
    for (let k = 0; k < tokens.length; k++) {
      if (next[k]! >= 0 && next[k]! < from) next[k] = text.indexOf(tokens[k]!.content, from);
      if (next[k]! < 0) continue;
      const longer = found >= 0 && tokens[k]!.content.length > tokens[found]!.content.length;
      if (found < 0 || next[k]! < next[found]! || (next[k] === next[found] && longer)) found = k;
    }
    const token = tokens[found];
    const upTo = token ? next[found]! : text.length;
    if (upTo > from) pieces.push(text.slice(from, upTo));
    if (!token) return pieces;
    pieces.push(token);
    from = upTo + token.content.length;
  }
}

function readToken(key: string, raw: unknown): Omit<AddedToken, "id"> {
  if (typeof raw === "string" && raw !== "") {
    return { content: raw, normalized: false, special: true };
  }
  const content = isRecord(raw) ? raw["content"] : undefined;
  if (!isRecord(raw) || typeof content !== "string" || content === "") {
    throw new FileError(
      `tokenizer: ${key} is ${JSON.stringify(raw)}`,
      'it must be a token such as "<|endoftext|>" or an object with a "content"',
    );
  }
  // lstrip and rstrip would change nothing: blanks never become CLIP tokens.
  return { content, normalized: raw["normalized"] === true, special: raw["special"] === true };
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
