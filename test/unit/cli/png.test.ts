import { decode, hasPngSignature } from "fast-png";
import { describe, expect, it } from "vitest";
import { encodePng, parametersText } from "../../../src/node/png.ts";

const image = { width: 3, height: 2, channels: 3 as const, data: Uint8Array.from({ length: 18 }, (_, i) => i * 13) };

/** Chunks in order. */
function chunks(png: Uint8Array): { type: string; body: Buffer }[] {
  const view = Buffer.from(png);
  const found = [];
  for (let at = 8; at < view.length; at += 12 + view.readUInt32BE(at)) {
    const body = view.subarray(at + 8, at + 8 + view.readUInt32BE(at));
    found.push({ type: view.toString("latin1", at + 4, at + 8), body });
  }
  return found;
}

describe("encodePng", () => {
  it.each([3, 4] as const)("gives back its pixels with %d channels", async (channels) => {
    const data = Uint8ClampedArray.from({ length: 6 * channels }, (_, i) => i * 10);
    const decoded = decode(await encodePng({ width: 3, height: 2, channels, data }), { checkCrc: true });
    expect(decoded).toMatchObject({ width: 3, height: 2, channels, depth: 8 });
    expect([...decoded.data]).toEqual([...data]);
  });

  it("writes Latin-1 text as tEXt", async () => {
    const png = await encodePng(image, { parameters: "a café\nSteps: 20" });
    expect(decode(png, { checkCrc: true }).text).toEqual({ parameters: "a café\nSteps: 20" });
  });

  it("writes other text as iTXt, before the end", async () => {
    const png = await encodePng(image, { plain: "a", parameters: "猫 on a mat" });
    expect(hasPngSignature(png)).toBe(true);
    expect(decode(png, { checkCrc: true }).text).toEqual({ plain: "a" });
    // The decoder checks every chunk's checksum, also of those it does not read: this one too.
    const damaged = Uint8Array.from(png);
    damaged[damaged.length - 20]! ^= 1;
    expect(() => decode(damaged, { checkCrc: true })).toThrow(/CRC/i);
    const list = chunks(png);
    expect(list.map((c) => c.type)).toEqual(["IHDR", "IDAT", "tEXt", "iTXt", "IEND"]);
    expect(list[3]!.body.toString("utf8")).toBe("parameters\0\0\0\0\0猫 on a mat");
  });

  it("refuses pixels that do not fit the size, with both numbers", async () => {
    await expect(encodePng({ ...image, data: new Uint8Array(17) })).rejects.toThrow("wants 18 bytes, there are 17");
  });
});

describe("parametersText", () => {
  it("has the prompt, the negative prompt and one line of pairs", () => {
    const pairs = [["Steps", 20] as const, ["Model", "a, b: c"] as const];
    expect(parametersText("a cat", "blurry", pairs)).toBe(
      'a cat\nNegative prompt: blurry\nSteps: 20, Model: "a, b: c"',
    );
    expect(parametersText("a cat", " ", pairs)).toBe('a cat\nSteps: 20, Model: "a, b: c"');
  });

  it("does not let a prompt pass for another part", () => {
    const text = parametersText("a cat\nNegative prompt: x\nSteps: 1, Sampler: y, Seed: 3", "", [["Steps", 20]]);
    expect(text.split("\n")).toEqual(["a cat Negative prompt : x Steps: 1, Sampler: y, Seed: 3", "Steps: 20"]);
  });
});
