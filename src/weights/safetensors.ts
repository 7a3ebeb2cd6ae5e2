import { FileError } from "../errors.ts";
import type { Shape } from "../tensor.ts";
import { fileBytes, isFileDtype, type FileDtype } from "./dtype.ts";
import { damaged, parseHeader, type HeaderEntry } from "./header-json.ts";
import { recognise } from "./magic.ts";
import { quote } from "./show.ts";
import type { ByteSource } from "./source.ts";

/** Where a tensor's bytes are: C order, little-endian, `begin` to `end` of `source`. */
export interface TensorEntry {
  readonly name: string;
  readonly dtype: FileDtype;
  readonly shape: Shape;
  readonly source: ByteSource;
  /** Absolute byte offsets in the source. */
  readonly begin: number;
  readonly end: number;
}

export interface Safetensors {
  readonly source: ByteSource;
  /** Untrusted text by whoever wrote the file. */
  readonly metadata: ReadonlyMap<string, string>;
  /** In the order of their bytes. */
  readonly tensors: ReadonlyMap<string, TensorEntry>;
}

/** Largest header that is read. The format allows 100 MB; models have well under 1 MB, and a browser tab stalls on more. */
export const maxHeaderBytes = 25_000_000;

/** Most tensors in one file. Checkpoints have 1 to 3 thousand. */
export const maxEntries = 200_000;

/** The header of a safetensors file, believed only where it agrees with the file's size; no tensor byte is read.
 *
 *  Accepts what the reference reader accepts (rank 0, empty dimensions, no tensors, white space round the header), and
 *  refuses what it refuses and what JavaScript would read differently: see the tests.
 *  @throws {FileError} with what is wrong, on which tensor, and both numbers */
export async function readSafetensors(source: ByteSource, signal?: AbortSignal): Promise<Safetensors> {
  const { name, size } = source;
  const first = await source.read(0, Math.min(16, size), signal);
  if (size < 8) {
    throw new FileError(`${name}: ${size} bytes are too few for a safetensors file, which begins with 8`, damaged);
  }
  const view = new DataView(first.buffer, first.byteOffset, first.byteLength);
  const headerBytes = view.getUint32(0, true) + view.getUint32(4, true) * 2 ** 32;
  // A small pickle's first bytes can read as a length: it is a header only if white space or a brace follows.
  const looksRight = size === 8 || " \t\r\n{".includes(String.fromCharCode(first[8]!));
  if (!looksRight || headerBytes > size - 8) {
    const foreign = recognise(first);
    if (foreign !== undefined) throw new FileError(`${name} is ${foreign.kind}, not safetensors`, foreign.hint);
  }
  if (headerBytes > maxHeaderBytes) {
    throw new FileError(
      `${name}: a header of ${headerBytes} bytes is announced, at most ${maxHeaderBytes} are read`,
      damaged,
    );
  }
  if (headerBytes > size - 8) {
    throw new FileError(`${name}: a header of ${headerBytes} bytes is announced, the file has ${size}`, damaged);
  }
  const text = decodeUtf8(await source.read(8, 8 + headerBytes, signal), name);
  const { metadata, tensors } = parseHeader(text, name, maxEntries);
  return { source, metadata, tensors: layOut(tensors, source, 8 + headerBytes) };
}

function decodeUtf8(bytes: Uint8Array, name: string): string {
  try {
    // ignoreBOM keeps a byte order mark in the text, where it is refused like any other stray character.
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    throw new FileError(`${name}: the header is not UTF-8`, damaged, { cause });
  }
}

/** Checks that the entries tile the data, from its first byte to its last, and gives them absolute offsets. */
function layOut(
  entries: ReadonlyMap<string, HeaderEntry>,
  source: ByteSource,
  dataBegin: number,
): ReadonlyMap<string, TensorEntry> {
  const refuse = (tensor: string, what: string): never => {
    throw new FileError(`${source.name}: tensor ${quote(tensor)}: ${what}`, damaged);
  };
  const dataBytes = source.size - dataBegin;
  // Files of older writers are in any order; an empty tensor comes before what begins where it stands.
  const inOrder = [...entries].sort(([, a], [, b]) => a.begin - b.begin || a.end - b.end);
  const tensors = new Map<string, TensorEntry>();
  let covered = 0;
  for (const [name, { dtype, shape, begin, end }] of inOrder) {
    if (!isFileDtype(dtype)) return refuse(name, `unknown dtype ${quote(dtype)}`);
    const bytes = fileBytes(dtype, shape);
    if (typeof bytes !== "number") return refuse(name, bytes.wrong);
    if (end < begin) refuse(name, `it ends at ${end}, before it begins at ${begin}`);
    if (begin < covered) refuse(name, `it begins at ${begin}, inside the tensor before it, which ends at ${covered}`);
    if (begin > covered)
      refuse(name, `it begins at ${begin}, ${begin - covered} bytes after the end of what is before it`);
    if (end - begin !== bytes) {
      refuse(name, `${dtype} [${shape.join(", ")}] takes ${bytes} bytes, its offsets hold ${end - begin}`);
    }
    if (end > dataBytes) refuse(name, `it ends at ${end}, the file has ${dataBytes} bytes of data`);
    covered = end;
    tensors.set(name, { name, dtype, shape, source, begin: dataBegin + begin, end: dataBegin + end });
  }
  if (covered !== dataBytes) {
    throw new FileError(
      `${source.name}: the tensors take ${covered} bytes, the file has ${dataBytes} for them`,
      damaged,
    );
  }
  return tensors;
}
