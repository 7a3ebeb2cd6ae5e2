import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { at, bytesOf, expectRefusal, folder, strong, w2sd, weak, words, writeTensor } from "./command.ts";

// Requests that cannot be met: refused before a weight is read, by name, with both numbers and what to do.

const bare = ["generate", "--model", strong, "--prompt", "a cat"];
const generate = (...options: string[]) => [...bare, "--out", at("x.png"), "--json", ...options];

describe("numbers out of range", () => {
  it.each([
    ["--steps", "0", "It must be a whole number from 1 to 1000"],
    ["--steps", "1001", "It must be a whole number from 1 to 1000"],
    ["--steps", "NaN", "It must be a whole number from 1 to 1000"],
    ["--lambda", "-1", "It must be a whole number of at least 0"],
    ["--cfg", "NaN", "It must be a number"],
    ["--strong-cfg", "nan", "It must be a number"],
    ["--weak-cfg", "NaN", "It must be a number"],
    ["--alpha", "Infinity", "It must be a number"],
    ["--seed", "-1", "It must be a whole number from 0 to 9007199254740991"],
    ["--seed", "1e30", "It must be a whole number from 0 to 9007199254740991"],
    ["--size", "64", "It must be WIDTHxHEIGHT, as in 512x512"],
    ["--size", "64X64", "It must be WIDTHxHEIGHT, as in 512x512"],
    ["--size", "64x64x3", "It must be WIDTHxHEIGHT, as in 512x512"],
    ["--size", "0x0", "It must be WIDTHxHEIGHT, as in 512x512"],
    ["--dtype", "bf16", "Allowed choices are f16, f32, auto"],
  ])("%s %s", async (option, value, said) => {
    await expectRefusal(generate(option, value), 2, `option '${option} `, `'${value}' is invalid`, said);
  });

  it.each([
    ["60x64", /width 60 is no positive multiple of 64/, /the VAE divides by 8, the UNet by 8; the nearest is 64/],
    ["128x100", /height 100 is no positive multiple of 64/, "the nearest is 128"],
    ["8x64", /width 8 is no positive multiple of 64/, "the nearest is 64"],
  ])("a size that does not divide: %s", async (size, ...said) => {
    await expectRefusal(generate("--size", size), 2, "UsageError: ", ...said);
  });

  it("a size that the device cannot hold", async () => {
    const said = [/LimitError: '.+' needs \d+ bytes, .*\d+/, "choose a smaller picture"];
    await expectRefusal(generate("--size", "65536x65536"), 4, ...said);
  });

  it.each(["20", "21"])("as many reflected steps as there are, or more: %s", async (lambda) => {
    const said = [`--lambda ${lambda} reflects more steps than --steps 20 has`, "at most --lambda 19"];
    await expectRefusal(generate("--weak", weak, "--steps", "20", "--lambda", lambda), 2, ...said);
    await expectRefusal(["toy", "gmm", "--steps", "20", "--lambda", lambda, "--json"], 2, ...said);
  });

  it("more steps than the schedule allows", async () => {
    // 1000 is a step count that the option takes; with steps_offset 1 the last timestep would be 1000.
    await expectRefusal(generate("--steps", "1000"), 2, "UsageError: ", /steps 1000: .*1000/);
  });

  it("toys", async () => {
    const gmm = (...options: string[]) => ["toy", "gmm", "--json", ...options];
    await expectRefusal(gmm("--strong", "NaN"), 2, "It must be a number from 0 to 1");
    await expectRefusal(gmm("--sd", "0"), 2, "It must be a number greater than 0");
    await expectRefusal(gmm("--alpha", "NaN"), 2, "It must be a number");
    await expectRefusal(["toy", "gaussian", "--x", "1,NaN"], 2, "It must be a number");
    await expectRefusal(["toy", "gaussian"], 2, "'--x <list>' not specified");
  });
});

describe("what is unknown or missing", () => {
  it.each([
    [["generate", "--prompt", "a", "--out", "x.png"], "'--model <path>' not specified"],
    [["generate", "--model", strong, "--out", "x.png"], "'--prompt <text>' not specified"],
    [bare, "'--out <file>' not specified"],
    [[...bare, "--out", "x.png", "--promt", "b"], "unknown option '--promt'"],
    [[...bare, "--out", "x.png", "dog"], "too many arguments"],
    [["paint"], "unknown command 'paint'"],
  ])("%#: %s", async (args, said) => {
    const ended = await w2sd(...args);
    expect({ code: ended.code, stdout: ended.stdout }).toEqual({ code: 2, stdout: "" });
    expect(words(ended)).toContain(said);
  });
});

describe("outputs that cannot be written are refused at the start", () => {
  it.each([
    ["a folder", () => folder, 2, /output '.*' is a folder/],
    ["in no folder", () => at("no/x.png"), 2, /there is no folder '.*no'/],
    // /proc takes no files, not even from root.
    ["where one may not write", () => (existsSync("/proc") ? "/proc/x.png" : "/x.png"), 1, /cannot be written/],
  ])("%s", async (_, path, code, said) => {
    await expectRefusal([...bare, "--out", path()], code, said);
    await expectRefusal(generate("--save-latents", path()), code, said);
    const run = ["run", "--model", strong, "--component", "unet", "--input", "i.safetensors", "--output", path()];
    await expectRefusal(run, code, said);
  });

  it("one file for two things", async () => {
    mkdirSync(at("sub"));
    const said = `--out and --save-latents both name '${at("x.png")}'`;
    await expectRefusal(generate("--save-latents", at("sub/../x.png")), 2, said);
  });
});

describe("latents that do not fit", () => {
  const latents = new Float32Array(256).fill(0.5);

  it.each<[string, () => void, (string | RegExp)[]]>([
    [
      "of another size",
      () => writeTensor(at("l"), "latents", "F32", [1, 4, 8, 8], bytesOf(latents)),
      ["latents are [1, 4, 8, 8], wanted [1, 4, 16, 8]", "--size 64x64, or none, fits these"],
    ],
    [
      "turned by a quarter",
      () => writeTensor(at("l"), "latents", "F32", [1, 4, 8, 16], new Uint8Array(2048)),
      ["latents are [1, 4, 8, 16], wanted [1, 4, 16, 8]"],
    ],
    [
      "of other channels",
      () => writeTensor(at("l"), "latents", "F32", [1, 16, 16, 8], new Uint8Array(8192)),
      ["latents are [1, 16, 16, 8], wanted [1, 4, 16, 8]"],
    ],
    [
      "of another rank",
      () => writeTensor(at("l"), "latents", "F32", [4, 16, 8], new Uint8Array(2048)),
      ["latents are [4, 16, 8], wanted [1, 4, 16, 8]"],
    ],
    [
      "of another dtype",
      () => writeTensor(at("l"), "latents", "I64", [1, 4, 16, 8], new Uint8Array(4096)),
      ["latents are I64, wanted F32", "save them as float32"],
    ],
    [
      "not numbers",
      () => {
        const bad = new Float32Array(512);
        bad[17] = NaN;
        writeTensor(at("l"), "latents", "F32", [1, 4, 16, 8], bytesOf(bad));
      },
      ["hold NaN at element 17"],
    ],
    [
      "under another name",
      () => writeTensor(at("l"), "noise", "F32", [1, 4, 16, 8], new Uint8Array(2048)),
      ["has no tensor 'latents'", "it has 'noise'"],
    ],
    ["damaged", () => writeFileSync(at("l"), "safe"), ["4 bytes are too few for a safetensors file"]],
  ])("%s", async (_, write, said) => {
    write();
    await expectRefusal(generate("--latents", at("l"), "--size", "64x128"), 5, "FileError: ", ...said);
  });

  it("not there", async () => {
    await expectRefusal(generate("--latents", at("none")), 5, `FileError: ${at("none")}: no such file`);
  });
});
