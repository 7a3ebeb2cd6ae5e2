import { CommanderError, type Command, type OptionValues } from "commander";
import { describe, expect, it } from "vitest";
import { demoCommand } from "../../../src/cli/demo.ts";
import { generateCommand, generateRequest, type GenerateOptions } from "../../../src/cli/generate.ts";
import { inspectCommand } from "../../../src/cli/inspect.ts";
import { runCommand } from "../../../src/cli/run.ts";
import type { Terminal } from "../../../src/cli/session.ts";
import { toyCommand } from "../../../src/cli/toy.ts";

const terminal: Terminal = {
  engine: () => Promise.reject(new Error("these tests only read options")),
  signal: new AbortController().signal,
  print: () => {},
};

/** Reads a command line without running it; what commander would print comes with the error. */
function read<T extends OptionValues>(command: Command, args: string[]): T {
  let words = "";
  for (const c of [command, ...command.commands]) {
    c.exitOverride().configureOutput({ writeErr: (text) => (words += text), writeOut: () => {} });
    c.action(() => {});
  }
  try {
    command.parse(args, { from: "user" });
  } catch (error) {
    if (error instanceof CommanderError) throw new Error(`${error.exitCode}: ${words}`);
    throw error;
  }
  return (command.commands.find((c) => c.name() === args[0]) ?? command).opts<T>();
}

const generate = (...args: string[]) =>
  read<GenerateOptions>(generateCommand(terminal), ["--model", "m", "--prompt", "p", "--out", "x.png", ...args]);

describe("numbers are read strictly, and errors name the option and the text", () => {
  it.each([
    ["--steps", "0"],
    ["--steps", "-1"],
    ["--steps", "2.5"],
    ["--steps", "1001"],
    ["--steps", ""],
    ["--steps", " "],
    ["--steps", "ten"],
    ["--steps", "1e400"],
    ["--steps", "0x10"],
    ["--cfg", "NaN"],
    ["--cfg", "Infinity"],
    ["--cfg", "1,5"],
    ["--cfg", "5.5x"],
    ["--cfg", ""],
    ["--cfg", "."],
    ["--cfg", "--"],
    ["--alpha", "nan"],
    ["--seed", "-1"],
    ["--seed", "9007199254740993"],
    ["--lambda", "1.5"],
    ["--lambda", "-3"],
    ["--size", "64"],
    ["--size", "0x64"],
    ["--size", "64x"],
    ["--size", "64×64"],
    ["--size", "-8x8"],
    ["--size", "999999x8"],
    ["--inversion", "Exact"],
    ["--query", ""],
    ["--dtype", "f64"],
    ["--adapter", "nvidia"],
  ])("generate %s '%s'", (option, text) => {
    expect(() => generate(option, text)).toThrow(
      new RegExp(`option '${option} .*argument '${text.replace(/[.]/g, "\\.")}' is invalid`),
    );
  });

  it.each([
    ["--peaks", "-4"],
    ["--peaks", "4,-4"],
    ["--peaks", "-4,4,5"],
    ["--sd", "0"],
    ["--strong", "1.5"],
    ["--weak", "-0.1"],
    ["--samples", "0"],
    ["--method", "euler"],
    ["--w", "x"],
  ])("toy gmm %s '%s'", (option, text) => {
    expect(() => read(toyCommand(terminal), ["gmm", option, text])).toThrow(`argument '${text}' is invalid`);
  });

  it.each(["", "1,,2", "1,a", "1,"])("toy gaussian --x '%s'", (text) => {
    expect(() => read(toyCommand(terminal), ["gaussian", "--x", text])).toThrow(`argument '${text}' is invalid`);
  });

  it.each([
    ["1e-3", 0.001],
    ["+2", 2],
    ["-1.5", -1.5],
    [".5", 0.5],
    ["5.", 5],
  ])("takes --cfg %s", (text, value) => {
    expect(generate("--cfg", text).cfg).toBe(value);
  });
});

describe("what is missing or unknown is a usage error", () => {
  it.each<[string, Command, string[], string]>([
    ["generate without a model", generateCommand(terminal), ["--prompt", "p", "--out", "x"], "--model"],
    ["generate without a prompt", generateCommand(terminal), ["--model", "m", "--out", "x"], "--prompt"],
    ["generate without an output", generateCommand(terminal), ["--model", "m", "--prompt", "p"], "--out"],
    ["run without a component", runCommand(terminal), ["--model", "m", "--input", "i", "--output", "o"], "--component"],
    ["inspect without a path", inspectCommand(terminal), [], "'path'"],
    ["gaussian without points", toyCommand(terminal), ["gaussian"], "--x"],
    ["an unknown option", demoCommand(terminal), ["--sed", "1"], "--sed"],
    ["an unknown component", runCommand(terminal), ["--component", "vae"], "vae"],
  ])("%s", (_, command, args, named) => {
    expect(() => read(command, args)).toThrow(named);
  });
});

describe("defaults", () => {
  it("generate", () => {
    const o = generate();
    expect(o).toMatchObject({ seed: 1, steps: 50, cfg: 5.5, strongCfg: 1, negative: "", alpha: 1, dtype: "auto" });
    expect(o).toMatchObject({ inversion: "exact", query: "published" });
    for (const key of ["weak", "weakCfg", "weakPrompt", "lambda", "size", "latents", "saveLatents", "adapter"]) {
      expect(o).not.toHaveProperty(key);
    }
  });

  it("toy gmm is the mixture of the paper's toy", () => {
    expect(read(toyCommand(terminal), ["gmm"])).toMatchObject({
      peaks: [-4, 4],
      sd: 0.8,
      strong: 0.3,
      weak: 0.1,
      samples: 4001,
      steps: 50,
      method: "w2sd",
      w: 2,
    });
  });

  it("lists may begin with a minus sign", () => {
    expect(read(toyCommand(terminal), ["gaussian", "--x", "-1.5,-0.5,0,0.7,2"])).toMatchObject({
      x: [-1.5, -0.5, 0, 0.7, 2],
    });
    expect(read(toyCommand(terminal), ["gmm", "--peaks", "-3,5"])).toMatchObject({ peaks: [-3, 5] });
  });
});

describe("generate's options become a request", () => {
  it("is plain DDIM without a weak side", () => {
    expect(generateRequest(generate()).reflection).toBeUndefined();
  });

  it.each([
    ["--weak", "w", { weak: "w", weakCfg: 1, weakPrompt: undefined }],
    ["--weak-cfg", "0", { weak: undefined, weakCfg: 0, weakPrompt: undefined }],
    ["--weak-prompt", "q", { weak: undefined, weakCfg: 1, weakPrompt: "q" }],
  ])("reflects with %s %s", (option, value, expected) => {
    expect(generateRequest(generate(option, value)).reflection).toEqual({
      ...expected,
      strongCfg: 1,
      lambda: undefined,
      inversion: "exact",
      query: "published",
      alpha: 1,
    });
  });

  it("takes the size, and asks for the latents when they are to be saved", () => {
    const request = generateRequest(generate("--size", "64x48", "--save-latents", "l.safetensors"));
    expect(request).toMatchObject({ size: { width: 64, height: 48 }, wantsLatents: true });
  });

  it("refuses a reflected last step, with both numbers", () => {
    expect(() => generateRequest(generate("--steps", "20", "--lambda", "20"))).toThrow(/--lambda 20.*--steps 20/);
    expect(generateRequest(generate("--steps", "20", "--lambda", "19")).steps).toBe(20);
  });
});
