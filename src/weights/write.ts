import { ShapeError, UsageError } from "../errors.ts";
import { showShape, type Shape } from "../tensor.ts";
import { fileBytes, fileDtypes, type FileDtype } from "./dtype.ts";
import { hasLoneSurrogate, quote } from "./show.ts";

export interface TensorData {
  readonly name: string;
  readonly dtype: FileDtype;
  readonly shape: Shape;
  /** C order, little-endian. */
  readonly data: Uint8Array;
}

/** A safetensors file, byte for byte as the reference writer lays it out: wider dtypes first, then by name, the header
 *  padded with spaces so that the data begin at a multiple of 8.
 *  @throws {ShapeError} data that do not fill the shape   @throws {UsageError} two tensors of one name */
export function encodeSafetensors(
  tensors: Iterable<TensorData>,
  metadata?: Readonly<Record<string, string>>,
): Uint8Array<ArrayBuffer> {
  const inOrder = [...tensors].sort(
    (a, b) => fileDtypes.indexOf(b.dtype) - fileDtypes.indexOf(a.dtype) || compareUtf8(a.name, b.name),
  );
  const members: string[] = metadata === undefined ? [] : [`"__metadata__":${stringMap(metadata)}`];
  const seen = new Set(["__metadata__"]);
  let dataBytes = 0;
  for (const { name, dtype, shape, data } of inOrder) {
    if (seen.has(name)) throw new UsageError(`two tensors named ${quote(name)}`);
    seen.add(name);
    checkData(name, dtype, shape, data);
    const offsets = `[${dataBytes},${dataBytes + data.byteLength}]`;
    members.push(`${json(name)}:{"dtype":"${dtype}","shape":[${shape.join(",")}],"data_offsets":${offsets}}`);
    dataBytes += data.byteLength;
  }
  const header = new TextEncoder().encode(`{${members.join(",")}}`);
  const headerBytes = Math.ceil(header.byteLength / 8) * 8;
  const file = new Uint8Array(8 + headerBytes + dataBytes);
  new DataView(file.buffer).setBigUint64(0, BigInt(headerBytes), true);
  file.fill(0x20, 8, 8 + headerBytes);
  file.set(header, 8);
  let at = 8 + headerBytes;
  for (const { data } of inOrder) {
    file.set(data, at);
    at += data.byteLength;
  }
  return file;
}

function checkData(name: string, dtype: FileDtype, shape: Shape, data: Uint8Array): void {
  const whole = shape.every((d) => Number.isSafeInteger(d) && d >= 0);
  const bytes = whole ? fileBytes(dtype, shape) : { wrong: "its dimensions are not all whole numbers" };
  if (typeof bytes !== "number") throw new ShapeError(`tensor ${quote(name)} ${showShape(shape)}: ${bytes.wrong}`);
  if (data.byteLength !== bytes) {
    throw new ShapeError(
      `tensor ${quote(name)}: ${dtype} ${showShape(shape)} takes ${bytes} bytes, ${data.byteLength} given`,
    );
  }
}

function stringMap(metadata: Readonly<Record<string, string>>): string {
  return `{${Object.entries(metadata)
    .map(([key, value]) => `${json(key)}:${json(value)}`)
    .join(",")}}`;
}

/** @throws {UsageError} half a surrogate pair, which UTF-8 cannot hold and the reader refuses */
function json(text: string): string {
  if (hasLoneSurrogate(text)) throw new UsageError(`${quote(text)} has half a surrogate pair`);
  return JSON.stringify(text);
}

/** Order by code point, which is the order of the UTF-8 bytes; `<` would put astral characters before U+FFxx. */
function compareUtf8(a: string, b: string): number {
  const [x, y] = [[...a], [...b]];
  for (let i = 0; i < Math.min(x.length, y.length); i++) {
    const d = x[i]!.codePointAt(0)! - y[i]!.codePointAt(0)!;
    if (d !== 0) return d;
  }
  return x.length - y.length;
}
