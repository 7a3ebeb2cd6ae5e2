import { readSafetensors, type Safetensors } from "../../../src/weights/safetensors.ts";
import { bytesSource } from "../../../src/weights/source.ts";

/** A file with this header text, padded with nothing, and this many bytes of data. `length` overrides what is announced. */
export function fileOf(header: string | Uint8Array, dataBytes = 0, length?: bigint): Uint8Array<ArrayBuffer> {
  const text = typeof header === "string" ? new TextEncoder().encode(header) : header;
  const file = new Uint8Array(8 + text.length + dataBytes);
  new DataView(file.buffer).setBigUint64(0, length ?? BigInt(text.length), true);
  file.set(text, 8);
  return file;
}

/** A header with one tensor `t`, its fields as JSON text. */
export function oneTensor(dtype: string, shape: string, offsets: string): string {
  return `{"t":{"dtype":"${dtype}","shape":${shape},"data_offsets":${offsets}}}`;
}

export async function readBytes(bytes: Uint8Array, name = "test.safetensors"): Promise<Safetensors> {
  return readSafetensors(bytesSource(name, bytes));
}
