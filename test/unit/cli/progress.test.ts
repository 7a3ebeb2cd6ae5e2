import ora from "ora";
import { PassThrough } from "node:stream";
import { describe, expect, it } from "vitest";
import { barProgress, plainProgress } from "../../../src/cli/progress.ts";

describe("progress without a terminal", () => {
  it("prints a line every tenth of the way, and nothing but text", () => {
    let words = "";
    const progress = plainProgress({ write: (text) => (words += text) });
    for (let i = 0; i <= 100; i++) progress.update("sampling", i, 100);
    const lines = words.trimEnd().split("\n");
    expect(lines).toHaveLength(11);
    expect(lines[0]).toBe("sampling: 0 % (0/100)");
    expect(lines[10]).toBe("sampling: 100 % (100/100)");
    expect(words).not.toMatch(/[\u001b\r]/);
  });

  it("begins anew with a new label", () => {
    let words = "";
    const progress = plainProgress({ write: (text) => (words += text) });
    progress.update("load", 1, 1);
    progress.update("sampling", 0, 3);
    progress.say("done");
    expect(words).toBe("load: 100 % (1/1)\nsampling: 0 % (0/3)\ndone\n");
  });

  it("does not divide by nothing", () => {
    let words = "";
    plainProgress({ write: (text) => (words += text) }).update("x", 0, 0);
    expect(words).toBe("x: 100 % (0/0)\n");
  });
});

describe("progress on a terminal", () => {
  it("shows a bar, ends it when full, and gives the cursor back", () => {
    const stream = Object.assign(new PassThrough(), {
      isTTY: true,
      columns: 80,
      clearLine() {},
      cursorTo() {},
      moveCursor() {},
    });
    const chunks: string[] = [];
    stream.on("data", (chunk: Buffer) => chunks.push(chunk.toString()));
    const tty = stream as unknown as NodeJS.WriteStream;
    const spinner = ora({ stream: tty, discardStdin: false, isEnabled: true, color: false });
    const progress = barProgress(spinner, tty);
    progress.update("sampling", 1, 4);
    expect(spinner.isSpinning).toBe(true);
    expect(spinner.text).toMatch(/^sampling █{6}░{18} 25 % \(1\/4\)/);
    progress.update("sampling", 4, 4);
    expect(spinner.isSpinning).toBe(false);
    progress.update("decode", 0, 1);
    expect(spinner.isSpinning).toBe(true);
    progress.stop();
    expect(spinner.isSpinning).toBe(false);
    const written = chunks.join("");
    expect(written).toContain("sampling");
    expect(written.lastIndexOf("\u001b[?25h")).toBeGreaterThan(written.lastIndexOf("\u001b[?25l"));
  });
});
