import { crc32 } from "node:zlib";
import { ShapeError } from "../errors.ts";

/** 8-bit pixels, row by row from the top left: RGB or RGBA. */
export interface Image {
  readonly width: number;
  readonly height: number;
  readonly channels: 3 | 4;
  readonly data: Uint8Array | Uint8ClampedArray;
}

/** A PNG with text records: `tEXt` where Latin-1 can hold one, otherwise `iTXt`, as image viewers expect.
 *  @throws {ShapeError} there are not width × height × channels bytes */
export async function encodePng(image: Image, text: Readonly<Record<string, string>> = {}): Promise<Uint8Array> {
  const { width, height, channels } = image;
  if (image.data.length !== width * height * channels) {
    throw new ShapeError(
      `png: ${width}x${height}x${channels} wants ${width * height * channels} bytes, there are ${image.data.length}`,
    );
  }
  const { encode } = await import("fast-png");
  const data = Uint8Array.from(image.data);
  const isLatin1 = ([, value]: [string, string]) => /^[\u0001-\u00ff]*$/.test(value);
  const records = Object.entries(text);
  const png = encode({ width, height, channels, data, text: Object.fromEntries(records.filter(isLatin1)) });
  const wide = records
    .filter((record) => !isLatin1(record))
    .map(([keyword, value]) => internationalText(keyword, value));
  // The end marker is the last chunk and 12 bytes long.
  return Buffer.concat([png.subarray(0, -12), ...wide, png.subarray(-12)]);
}

/** An `iTXt` chunk: length, type, keyword, then four empty fields (not compressed, no language, no translation), UTF-8 text. */
function internationalText(keyword: string, text: string): Uint8Array {
  const body = Buffer.concat([
    Buffer.from(`iTXt${keyword}\0\0\0\0\0`, "latin1"),
    Buffer.from(text.replaceAll("\0", "")),
  ]);
  const chunk = Buffer.alloc(body.length + 8);
  chunk.writeUInt32BE(body.length - 4, 0);
  chunk.set(body, 4);
  chunk.writeUInt32BE(crc32(body), body.length + 4);
  return chunk;
}

/** The `parameters` record that image tools of the Stable Diffusion family read: prompt, negative prompt, one line of pairs.
 *  Prompts are put on one line each and cannot pass for another part of the record; the exact ones belong in a record of
 *  their own. */
export function parametersText(
  prompt: string,
  negative: string,
  pairs: readonly (readonly [string, string | number])[],
): string {
  const line = (text: string) =>
    text
      .replace(/\s*[\r\n]+\s*/g, " ")
      .replace(/Negative prompt:/gi, "Negative prompt :")
      .trim();
  const value = (v: string | number) => (/[,:\n"]/.test(String(v)) ? JSON.stringify(String(v)) : String(v));
  return [
    line(prompt),
    ...(negative.trim() === "" ? [] : [`Negative prompt: ${line(negative)}`]),
    pairs.map(([key, v]) => `${key}: ${value(v)}`).join(", "),
  ].join("\n");
}
