import { spawn, type ChildProcess } from "node:child_process";
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, expect, vi } from "vitest";
import { nodeEngine } from "../../src/cli/node-engine.ts";
import { main } from "../../src/cli/program.ts";
import { encodeSafetensors } from "../../src/weights/write.ts";
import { goldenPath } from "../support/golden.ts";

/** What a command line left. */
export interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Compiling some 300 pipelines afresh takes the slower software adapter a minute on a busy machine. */
export const patience = 300_000;

export const strong = goldenPath("models/sd15-strong");
export const weak = goldenPath("models/sd15-weak");

/** A folder that is gone when this file's tests are done. */
export const folder = mkdtempSync(join(tmpdir(), "w2sd-cli-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Path of a file in that folder. */
export const at = (name: string): string => join(folder, name);

/** Runs a command line in this process: everything but the process around it is as installed. */
export async function w2sd(...args: string[]): Promise<Ended> {
  let stdout = "";
  let stderr = "";
  const words = vi.spyOn(process.stderr, "write").mockImplementation((text) => {
    stderr += String(text);
    return true;
  });
  try {
    const code = await main(args, {
      engine: () => Promise.resolve(nodeEngine),
      signal: new AbortController().signal,
      print: (line) => (stdout += `${line}\n`),
    });
    return { code, stdout, stderr };
  } finally {
    words.mockRestore();
  }
}

const script = fileURLToPath(new URL("../../scripts/w2sd.mjs", import.meta.url));

/** Starts the installed command as a process; `watch` sees its words as they come. */
export function start(args: string[], watch?: (stderr: string, child: ChildProcess) => void): Promise<Ended> {
  return new Promise((done) => {
    const child = spawn(process.execPath, [script, ...args], { stdio: ["ignore", "pipe", "pipe"] });
    let stdout = "";
    let stderr = "";
    child.stdout.on("data", (data: Buffer) => (stdout += data.toString()));
    child.stderr.on("data", (data: Buffer) => {
      stderr += data.toString();
      watch?.(stderr, child);
    });
    child.on("close", (code) => done({ code, stdout, stderr }));
  });
}

/** The words without what drivers and the adapter line say. */
export function words({ stderr }: Ended): string {
  return stderr.replace(/^(adapter: .*|Warning: .*| {2}(?!hint:).*)\n/gm, "").trim();
}

/** One refusal: its code, its words, nothing on stdout, and nothing new in the folder. */
export async function expectRefusal(args: string[], code: number, ...said: (string | RegExp)[]): Promise<void> {
  const before = readdirSync(folder);
  const ended = await w2sd(...args);
  for (const text of said) expect(words(ended)).toMatch(text);
  expect({ code: ended.code, stdout: ended.stdout }).toEqual({ code, stdout: "" });
  // Refused before any weight was read, in words for a person.
  expect(words(ended)).not.toMatch(/load:|internal|undefined|\[object/);
  expect(readdirSync(folder)).toEqual(before);
}

/** A copy of a golden model, to be spoiled. */
export function copyOf(model: string, name: string): string {
  cpSync(model, at(name), { recursive: true });
  return at(name);
}

export function editJson(path: string, change: (json: Record<string, unknown>) => void): void {
  const json = JSON.parse(readFileSync(path, "utf8")) as Record<string, unknown>;
  change(json);
  writeFileSync(path, JSON.stringify(json));
}

interface Entry {
  dtype: string;
  shape: number[];
  data_offsets: [number, number];
}

/** Rewrites the header of a safetensors file and leaves its data as it was. */
export function editHeader(path: string, change: (entries: [string, Entry][]) => void): void {
  const bytes = readFileSync(path);
  const length = Number(bytes.readBigUInt64LE(0));
  const header = JSON.parse(bytes.toString("utf8", 8, 8 + length)) as Record<string, Entry>;
  const tensors = Object.entries(header).filter(([name]) => name !== "__metadata__");
  tensors.sort(([, a], [, b]) => a.data_offsets[0] - b.data_offsets[0]);
  change(tensors);
  const text = Buffer.from(JSON.stringify(header));
  const size = Buffer.alloc(8);
  size.writeBigUInt64LE(BigInt(text.length));
  writeFileSync(path, Buffer.concat([size, text, bytes.subarray(8 + length)]));
}

type Dtype = "F32" | "F16" | "I64";

/** Writes a safetensors file of one tensor with these bytes. */
export function writeTensor(
  path: string,
  name: string,
  dtype: Dtype,
  shape: readonly number[],
  data: Uint8Array,
): void {
  writeFileSync(path, encodeSafetensors([{ name, dtype, shape, data }]));
}

export const bytesOf = (values: Float32Array): Uint8Array =>
  new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
