import { FileError } from "../errors.ts";
import { hasLoneSurrogate, quote } from "./show.ts";

/** A tensor as its file's header words it; nothing but the syntax has been checked. */
export interface HeaderEntry {
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly begin: number;
  readonly end: number;
}

export interface Header {
  readonly metadata: Map<string, string>;
  readonly tensors: Map<string, HeaderEntry>;
}

export const damaged = "the file is damaged or not safetensors: fetch it again from where it came from";

const metadataKey = "__metadata__";

/** A safetensors header, read by a parser of just this shape of JSON.
 *
 *  Not `JSON.parse`: that keeps the last of two equal keys, so that two readers can see different tensors in one file; it
 *  takes `1e3`, `1.0` and `-0` for integers; it rounds above 2^53; and it makes `__proto__` a key like others only
 *  by luck of what is done next. Names go into a `Map`. Stricter than the reference reader in one thing more: a field that the
 *  format does not have is refused, since whoever wrote it may mean the bytes to be read otherwise.
 *  @throws {FileError} anything that is not exactly a header   @see formats of the safetensors reference reader */
export function parseHeader(text: string, fileName: string, maxEntries: number): Header {
  let at = 0;
  let within: string | undefined;
  const metadata = new Map<string, string>();
  const tensors = new Map<string, HeaderEntry>();

  const fail = (what: string): never => {
    const where =
      within === undefined ? "the header" : within === metadataKey ? quote(within) : `tensor ${quote(within)}`;
    throw new FileError(`${fileName}: ${where}: ${what} at character ${at}`, damaged);
  };
  const skipSpace = (): void => {
    for (;;) {
      const c = text.charCodeAt(at);
      if (c !== 0x20 && c !== 0x0a && c !== 0x0d && c !== 0x09) return;
      at++;
    }
  };
  const found = (): string => (at < text.length ? quote(text[at]!) : "the end");
  const take = (c: string): boolean => {
    skipSpace();
    if (text[at] !== c) return false;
    at++;
    return true;
  };
  const expect = (c: string): void => {
    if (!take(c)) fail(`'${c}' expected, ${found()} found`);
  };

  const readString = (): string => {
    expect('"');
    const first = at;
    let plain = true;
    for (; ; at++) {
      const c = text.charCodeAt(at);
      if (c === 0x22) break;
      if (Number.isNaN(c)) fail("a string without an end");
      if (c < 0x20) fail("a raw control character in a string");
      if (c === 0x5c) {
        plain = false;
        at++;
      }
    }
    const raw = text.slice(first, at++);
    if (plain) return raw;
    try {
      const value = JSON.parse(`"${raw}"`) as string;
      // A lone half of a surrogate pair has no UTF-8 form: no two readers would agree on the name.
      return hasLoneSurrogate(value) ? fail("half a surrogate pair in a string") : value;
    } catch (error) {
      if (error instanceof FileError) throw error;
      return fail("a broken escape in a string");
    }
  };

  const readInteger = (): number => {
    skipSpace();
    const first = at;
    while (at < text.length && isOfNumber(text.charCodeAt(at))) at++;
    const digits = text.slice(first, at);
    if (digits === "") fail(`a number expected, ${found()} found`);
    if (!/^(0|[1-9][0-9]*)$/.test(digits)) fail(`${quote(digits)} is not a plain non-negative integer`);
    const value = Number(digits);
    if (!Number.isSafeInteger(value)) fail(`${quote(digits)} is over 2^53`);
    return value;
  };

  const readIntegers = (): number[] => {
    const values: number[] = [];
    expect("[");
    if (take("]")) return values;
    do values.push(readInteger());
    while (take(","));
    expect("]");
    return values;
  };

  /** An object's members; each key is handed over once, with the cursor before its value. */
  const readMembers = (member: (key: string) => void): void => {
    expect("{");
    if (take("}")) return;
    do {
      const key = readString();
      expect(":");
      member(key);
    } while (take(","));
    expect("}");
  };

  const readEntry = (): HeaderEntry => {
    let dtype: string | undefined;
    let shape: number[] | undefined;
    let offsets: number[] | undefined;
    readMembers((key) => {
      if (key === "dtype" && dtype === undefined) dtype = readString();
      else if (key === "shape" && shape === undefined) shape = readIntegers();
      else if (key === "data_offsets" && offsets === undefined) offsets = readIntegers();
      else fail(`${["dtype", "shape", "data_offsets"].includes(key) ? "a second" : "an unknown field"} ${quote(key)}`);
    });
    if (dtype === undefined) return fail("no 'dtype'");
    if (shape === undefined) return fail("no 'shape'");
    if (offsets?.length !== 2) return fail("no 'data_offsets' of two numbers");
    return { dtype, shape, begin: offsets[0]!, end: offsets[1]! };
  };

  const readMetadata = (): void => {
    within = metadataKey;
    readMembers((key) => {
      if (metadata.has(key)) fail(`a second ${quote(key)}`);
      metadata.set(key, readString());
    });
    within = undefined;
  };

  let sawMetadata = false;
  readMembers((key) => {
    if (key === metadataKey) {
      if (sawMetadata) fail(`a second ${quote(key)}`);
      sawMetadata = true;
      readMetadata();
      return;
    }
    if (tensors.has(key)) fail(`a second tensor ${quote(key)}`);
    if (tensors.size >= maxEntries) fail(`more than ${maxEntries} tensors`);
    within = key;
    tensors.set(key, readEntry());
    within = undefined;
  });
  skipSpace();
  if (at < text.length) fail(`${found()} after the end`);
  return { metadata, tensors };
}

/** A character that may occur in a JSON number: all are taken, so that the message shows the whole of a wrong one. */
function isOfNumber(c: number): boolean {
  return (c >= 0x30 && c <= 0x39) || c === 0x2b || c === 0x2d || c === 0x2e || c === 0x45 || c === 0x65;
}
