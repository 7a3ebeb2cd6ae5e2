import { execFile } from "node:child_process";
import { readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it, vi } from "vitest";
import { at, folder, start, strong, weak, words, patience } from "./command.ts";

vi.setConfig({ testTimeout: patience, hookTimeout: patience });

// What only a process shows: signals, pipes, and what it leaves when it ends.

const long = ["generate", "--model", strong, "--weak", weak, "--prompt", "a cat", "--steps", "900", "--size", "64x64"];

describe("an interruption", () => {
  it.each([
    ["while compiling", /^compile: [1-5]\d %/m, "SIGINT"],
    ["while sampling", /^sample: \d+ %/m, "SIGINT"],
    ["by the system", /^load: [1-9]\d %/m, "SIGTERM"],
  ] as const)("%s ends the command within seconds, with 130 and no files", async (_, moment, signal) => {
    let sent = 0;
    const args = [...long, "--out", at("x.png"), "--save-latents", at("x.safetensors"), "--json"];
    const ended = await start(args, (stderr, child) => {
      if (sent > 0 || !moment.test(stderr)) return;
      sent = performance.now();
      child.kill(signal);
    });
    const seconds = (performance.now() - sent) / 1000;
    expect(sent).toBeGreaterThan(0);
    expect({ code: ended.code, stdout: ended.stdout }).toEqual({ code: 130, stdout: "" });
    expect(words(ended)).not.toContain("internal");
    expect(words(ended)).toMatch(/^AbortError: /m);
    // Pipelines that Dawn has begun are finished before a process can end: on a busy machine that is most of it.
    expect(seconds).toBeLessThan(30);
    expect(readdirSync(folder)).toEqual([]);
  });
});

describe("pipes", () => {
  it("a reader that leaves early is no failure", async () => {
    const script = fileURLToPath(new URL("../../scripts/w2sd.mjs", import.meta.url));
    const ended = await new Promise<{ code: number | null; stderr: string }>((done) => {
      const child = execFile(process.execPath, [script, "inspect", strong, "--json"], (_, __, stderr) =>
        done({ code: child.exitCode, stderr }),
      );
      child.stdout!.destroy();
    });
    expect(ended).toEqual({ code: 0, stderr: "" });
  });

  it("an error leaves stdout empty, and its code is the process's", async () => {
    const ended = await start(["generate", "--model", at("none"), "--prompt", "", "--out", at("x.png"), "--json"]);
    expect({ code: ended.code, stdout: ended.stdout }).toEqual({ code: 5, stdout: "" });
    expect(words(ended)).toBe(`FileError: ${at("none")}: no such file\n  hint: check the path`);
  });
});
