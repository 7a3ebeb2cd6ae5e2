import { afterEach, describe, expect, it, vi } from "vitest";
import { reportError } from "../../../src/cli/exit.ts";
import * as errors from "../../../src/errors.ts";
import { OutputError } from "../../../src/node/output.ts";

function report(error: unknown): { code: number; words: string } {
  let words = "";
  const code = reportError(error, { write: (text) => (words += text) });
  return { code, words };
}

afterEach(() => vi.unstubAllEnvs());

describe("exit codes", () => {
  it.each([
    [new errors.W2sdError("m"), 1],
    [new errors.DeviceError("m"), 1],
    [new errors.InternalError("m"), 1],
    [new OutputError("m"), 1],
    [new errors.UsageError("m"), 2],
    [new errors.AdapterError("m"), 3],
    [new errors.LimitError("m"), 4],
    [new RangeError("Array buffer allocation failed"), 4],
    [new errors.FileError("m"), 5],
    [new errors.ShapeError("m"), 5],
    [new errors.AbortError("m"), 130],
    [new TypeError("m"), 1],
    ["a string", 1],
  ])("%o exits with %d", (error, code) => {
    expect(report(error).code).toBe(code);
  });

  it("prints the name, the message and the hint, no stack", () => {
    const { words } = report(new errors.FileError("model.safetensors: truncated", "download it again"));
    expect(words).toBe("FileError: model.safetensors: truncated\n  hint: download it again\n");
  });

  it("prints the stack and the causes with DEBUG", () => {
    vi.stubEnv("DEBUG", "1");
    const { words } = report(new errors.FileError("m", undefined, { cause: new Error("the disk") }));
    expect(words).toMatch(/FileError: m\n.*at .*exit\.test\.ts[^]*caused by: Error: the disk/);
  });

  it("calls what nobody expected a defect", () => {
    expect(report(new TypeError("x is undefined")).words).toMatch(/^TypeError: internal: x is undefined\n {2}hint: /);
  });
});
