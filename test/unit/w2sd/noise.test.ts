import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { UsageError } from "../../../src/errors.ts";
import { seedWords, torchNoise } from "../../../src/w2sd/noise.ts";
import { noise as philox } from "../../reference.ts";
import { blobSource } from "../../../src/weights/source.ts";
import { readSafetensors } from "../../../src/weights/safetensors.ts";

const words = (text: string) => text.trim().split(/\s+/).map(Number);

/** As printed by `torch.randn(n, generator=torch.Generator().manual_seed(seed))`. */
const torch: [number, number, number[]][] = [
  [0, 6, words("1.5410 -0.2934 -2.1788 0.5684 -1.0845 -1.3986")],
  [
    0,
    16,
    words(`-1.1258 -1.1524 -0.2506 -0.4339 0.8487 0.6920 -0.3160 -2.1152
           0.3223 -1.2633 0.3500 0.3081 0.1198 1.2377 1.1168 -0.2473`),
  ],
  [
    0,
    20,
    words(`-1.1258 -1.1524 -0.2506 -0.4339 0.5988 -1.5551 -0.3414 1.8530 0.4681 -0.1577
           1.4437 0.2660 1.3894 1.5863 0.9463 -0.8437 0.9318 1.2590 2.0050 0.0537`),
  ],
  [42, 16384, words("1.9269 1.4873 0.9007 -2.1055")],
];

/** Seed, n, indices, and the f32 bits there. */
const torchBits: [string, number, number[], number[]][] = [
  ["0", 6, [0, 1, 2, 3, 5], [1069891420, -1097450416, -1072991927, 1058112694, -1078786771]],
  ["0", 20, [0, 1, 3, 8, 10, 19], [-1081074811, -1080852342, -1092737699, 1055894101, 1069074907, 1029446458]],
  [
    "42",
    16384,
    [0, 1, 8, 8192, 16367, 16383],
    [1073128745, 1069440851, -1086288912, -1085523083, 1059817397, -1097451181],
  ],
  ["7", 31, [0, 1, 8, 14, 15, 30], [-1085148074, 1053462571, 1064120812, 1047260456, 1057024400, 1056983423]],
  [
    "123456789",
    1000,
    [0, 1, 8, 500, 983, 999],
    [1049054332, -1093374557, -1082389029, -1079070295, -1080637831, -1087592549],
  ],
  [
    "9007199254740992",
    64,
    [0, 1, 8, 32, 47, 63],
    [-1081074811, -1080852342, 1051001144, -1088613432, -1077208930, -1089654532],
  ],
  ["9223372036854775819", 33, [0, 1, 8, 16, 32], [-1090337887, 1065590377, -1098992399, 1048433731, -1092863470]],
];

describe("torchNoise", () => {
  it.each(torch)("seed %i, n = %i", (seed, count, expected) => {
    const noise = torchNoise(seed, count);
    expect(noise).toHaveLength(count);
    expected.forEach((value, k) => expect(Math.abs(noise[k]! - value)).toBeLessThan(1e-4));
  });

  // torch 2.15.0 on AVX-512, in f32 bits; 3 ulp is what its vectorised logarithm and sine leave open.
  it.each(torchBits)("seed %s, n = %i, to 3 ulp", (seed, count, at, bits) => {
    const noise = torchNoise(BigInt(seed), count);
    const actual = new Int32Array(noise.buffer);
    at.forEach((index, k) => expect(Math.abs(actual[index]! - bits[k]!)).toBeLessThanOrEqual(3));
  });

  it("takes the seed mod 2^32, as number or bigint", () => {
    expect(torchNoise(2 ** 32 + 7, 20)).toEqual(torchNoise(7, 20));
    expect(torchNoise(7n, 20)).toEqual(torchNoise(7, 20));
    expect(torchNoise(8, 20)).not.toEqual(torchNoise(7, 20));
    expect(torchNoise(2 ** 53, 4)).toEqual(torchNoise(0, 4));
  });

  it("is standard normal, and drawn in one piece: the count changes the values", () => {
    const noise = torchNoise(1, 65536);
    const mean = noise.reduce((sum, v) => sum + v, 0) / noise.length;
    const variance = noise.reduce((sum, v) => sum + v * v, 0) / noise.length;
    // Five standard errors: 1/√n of the mean, √(2/n) of the variance.
    expect(Math.abs(mean)).toBeLessThan(5 / 256);
    expect(Math.abs(variance - 1)).toBeLessThan((5 * Math.SQRT2) / 256);
    expect(torchNoise(0, 15)[0]).not.toBe(torchNoise(0, 16)[0]);
    expect(torchNoise(3, 0)).toHaveLength(0);
  });
});

describe("torch's golden file", async () => {
  const bytes = new Uint8Array(readFileSync(new URL("../../golden/data/noise.safetensors", import.meta.url)));
  const tensors = (await readSafetensors(blobSource(new Blob([bytes]), "noise.safetensors"))).tensors;
  // Second draws from one generator are no part of what a picture starts from.
  const drawn = [...tensors.values()].filter(({ name }) => !name.includes("then"));

  it.each(drawn)("$name", ({ name, begin, end }) => {
    const expected = new Float32Array(bytes.slice(begin, end).buffer);
    const [, seed, size, part] = /^seed(\d+)\.n(\d+)(?:\.(first|last))?/.exec(name)!;
    const noise = torchNoise(Number(seed), Number(size));
    const from = part === "last" ? noise.length - expected.length : 0;
    expected.forEach((value, k) => {
      // 3 ulp, as above: 2^-23 of the power of two below.
      const ulp = 2 ** (Math.floor(Math.log2(Math.abs(value))) - 23);
      expect(Math.abs(noise[from + k]! - value)).toBeLessThanOrEqual(3 * ulp);
    });
  });
});

it("the reference of the Philox kernel gives seed 0 as published by webui", () => {
  const seed0 = words(`-0.92466259 -0.42534415 -2.6438457 0.14518388 -0.12086647 -0.57972564
                       -0.62285122 -0.32838709 -1.07454231 -0.36314407 -1.67105067 2.26550497`);
  philox(0, 0, 0, 12).forEach((value, k) => expect(Math.abs(value - seed0[k]!)).toBeLessThan(3e-7));
});

it("a seed is two words, low and high", () => {
  expect(seedWords(7)).toEqual({ low: 7, high: 0 });
  expect(seedWords(2 ** 33 + 7)).toEqual({ low: 7, high: 2 });
  expect(seedWords(2n ** 64n - 1n)).toEqual({ low: 0xffffffff, high: 0xffffffff });
});

describe("refusals", () => {
  it.each([-1, 1.5, NaN, Infinity, 2 ** 53 + 2, -1n, 2n ** 64n])("seed %s", (seed) => {
    expect(() => torchNoise(seed, 4)).toThrow(UsageError);
    expect(() => torchNoise(seed, 4)).toThrow(/seed/);
  });
  it("the largest seeds are fine", () => {
    expect(torchNoise(2n ** 64n - 1n, 4)).toHaveLength(4);
  });
  it.each([-1, 1.5, NaN])("a count of %s", (count) => {
    expect(() => torchNoise(1, count)).toThrow(UsageError);
  });
});
