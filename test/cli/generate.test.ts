import { readdirSync, readFileSync, statSync } from "node:fs";
import { decode } from "fast-png";
import { beforeAll, describe, expect, it, vi } from "vitest";
import type { GenerateReport } from "../../src/cli/engine.ts";
import { readTensors } from "../../src/cli/tensor-files.ts";
import { torchNoise } from "../../src/w2sd/noise.ts";
import { at, bytesOf, folder, start, strong, w2sd, weak, words, writeTensor, type Ended, patience } from "./command.ts";

vi.setConfig({ testTimeout: patience, hookTimeout: patience });

// One run as a process, with everything in it, looked at from all sides; then what it must equal.

type Report = GenerateReport & { images: string[] };

const prompt = `a\tcat – 猫,\nsitting 😀 ${"very ".repeat(2000)}still`;
const shared = ["--model", strong, "--weak", weak, "--prompt", prompt, "--steps", "2", "--size", "64x64"];
const f32 = ["--dtype", "f32", "--json"];

let first: Ended;
let report: Report;

beforeAll(async () => {
  first = await start([
    ...["generate", ...shared, ...f32, "--seed", "7"],
    ...["--out", at("first.png"), "--save-latents", at("first.safetensors")],
  ]);
  report = JSON.parse(first.stdout) as Report;
});

describe("generate --json", () => {
  it("prints one JSON object on stdout, in one line, and ends with 0", () => {
    expect(first.code).toBe(0);
    expect(first.stdout.split("\n")).toEqual([JSON.stringify(report), ""]);
  });

  it("has exactly the fields that were promised", () => {
    const fields = Object.fromEntries(
      Object.entries<unknown>({ ...report }).map(([key, value]) => [
        key,
        typeof value === "object" ? Object.keys(value ?? {}) : value,
      ]),
    );
    expect(fields).toEqual({
      seed: 7,
      nfe: ["main", "down", "up", "branches"],
      adapter: ["name", "software"],
      dtype: "f32",
      gpu: ["dispatches", "submits", "readbacks", "peakBytes", "weightBytes", "sharedBytes"],
      ms: ["load", "compile", "text", "sample", "vae", "total"],
      images: ["0"],
    });
    expect(report.images).toEqual([at("first.png")]);
    // Two ordinary steps with both branches, one reflected step whose legs have guidance scale 1.
    expect(report.nfe).toEqual({ main: 2, down: 1, up: 1, branches: 6 });
  });

  it("counts what the GPU did", () => {
    const { gpu, ms } = report;
    // The picture, and the latents that were asked for.
    expect(gpu.readbacks).toBe(2);
    // One submit per evaluation at least; each evaluation is many dispatches.
    expect(gpu.submits).toBeGreaterThanOrEqual(4);
    expect(gpu.dispatches).toBeGreaterThan(10 * gpu.submits);
    expect(gpu.sharedBytes).toBeGreaterThan(0);
    expect(gpu.weightBytes).toBeGreaterThan(gpu.sharedBytes);
    expect(gpu.peakBytes).toBeGreaterThan(gpu.weightBytes);
    const { total, ...parts } = ms;
    for (const part of Object.values(parts)) expect(part).toBeGreaterThan(0);
    expect(Object.values(parts).reduce((a, b) => a + b)).toBeLessThanOrEqual(total);
  });

  it("says on stderr what it does, with one bar for each stage, all of them reaching their end", () => {
    const labels = words(first).match(/^[a-z]+(?=: \d+ %)/gm) ?? [];
    expect([...new Set(labels)]).toEqual(["load", "compile", "sample"]);
    for (const label of new Set(labels)) {
      const percents = [...first.stderr.matchAll(new RegExp(`^${label}: (\\d+) %`, "gm"))].map((m) => Number(m[1]));
      expect(percents.at(-1)).toBe(100);
      expect(percents).toEqual([...percents].sort((a, b) => a - b));
      // Not a line for every tensor, pipeline and step.
      expect(percents.length).toBeLessThanOrEqual(11);
    }
    expect(first.stderr).toMatch(/^adapter: .+$/m);
  });

  it("cuts a prompt of 10,000 characters and says by how much, without its line breaks", () => {
    expect(prompt.length).toBeGreaterThan(10_000);
    expect(first.stderr).toMatch(/^the prompt 'a\\u\{9\}cat – 猫,\\u\{a\}sitting 😀 .*…' is \d{4,} tokens too long/m);
  });
});

describe("the files", () => {
  it("are the picture, the latents, and nothing else", () => {
    expect(readdirSync(folder).sort()).toEqual(["first.png", "first.safetensors"]);
  });

  it("a PNG of the size asked for, opaque and not of one colour, with the prompt in it", () => {
    const png = readFileSync(at("first.png"));
    const { width, height, data } = decode(png);
    expect([width, height]).toEqual([64, 64]);
    expect(new Set(data).size).toBeGreaterThan(8);
    for (const record of ["parameters", "w2sd", "猫"]) expect(png.includes(Buffer.from(record))).toBe(true);
  });

  it("latents [1, 4, h, w] f32", async () => {
    const tensors = await readTensors(at("first.safetensors"));
    expect([...tensors.keys()]).toEqual(["latents"]);
    const { shape, dtype, data } = tensors.get("latents")!;
    expect({ shape, dtype }).toEqual({ shape: [1, 4, 8, 8], dtype: "F32" });
    expect(data.every(Number.isFinite)).toBe(true);
  });
});

describe("latents from a file", () => {
  it("the seed's own noise gives the seed's own picture, and the size", async () => {
    writeTensor(at("noise.safetensors"), "latents", "F32", [1, 4, 8, 8], bytesOf(torchNoise(7, 256)));
    // Without --size, which the latents say; with the defaults spelt out.
    const { code, stdout } = await w2sd(
      ...["generate", ...shared.slice(0, -2), ...f32, "--latents", at("noise.safetensors"), "--out", at("second.png")],
      ...["--lambda", "1", "--inversion", "exact", "--query", "published", "--alpha", "1", "--cfg", "5.5"],
    );
    expect(code).toBe(0);
    const second = JSON.parse(stdout) as Report;
    expect(decode(readFileSync(at("second.png"))).data).toEqual(decode(readFileSync(at("first.png"))).data);
    expect(second.nfe).toEqual(report.nfe);
    // A picture is one read-back.
    expect(second.gpu.readbacks).toBe(1);
  });
});

describe("one model against itself", () => {
  it("a gap in guidance and in the prompt, α 0.5, official inversion: another picture than without", async () => {
    const common = ["generate", "--model", strong, "--prompt", "", "--steps", "2", "--size", "64x64", "--json"];
    const gap = ["--strong-cfg", "5.5", "--weak-cfg", "0", "--weak-prompt", "a dog", "--negative", "blurry"];
    const more = ["--alpha", "0.5", "--inversion", "official", "--query", "aligned", "--cfg", "2"];
    const { code, stdout } = await w2sd(...common, ...gap, ...more, "--out", at("gap.png"));
    expect(code).toBe(0);
    // Both branches in the main and the strong leg, the unconditional one alone in the weak leg.
    expect((JSON.parse(stdout) as Report).nfe).toEqual({ main: 2, down: 1, up: 1, branches: 2 * 2 + 2 + 1 });
    const plain = await w2sd(...common, "--negative", "blurry", "--cfg", "2", "--out", at("plain.png"));
    const report = JSON.parse(plain.stdout) as Report;
    expect(report.nfe).toEqual({ main: 2, down: 0, up: 0, branches: 4 });
    expect(report.gpu).toMatchObject({ readbacks: 1, sharedBytes: 0 });
    expect(decode(readFileSync(at("plain.png"))).data).not.toEqual(decode(readFileSync(at("gap.png"))).data);
    expect(statSync(at("plain.png")).size).toBeGreaterThan(1000);
  });
});
