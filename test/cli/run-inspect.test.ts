import { existsSync, writeFileSync } from "node:fs";
import { describe, expect, it, vi } from "vitest";
import { readTensors, writeTensors } from "../../src/cli/tensor-files.ts";
import { goldenPath, readGolden, relativeError } from "../support/golden.ts";
import { at, expectRefusal, strong, w2sd, words, writeTensor, patience } from "./command.ts";

vi.setConfig({ testTimeout: patience, hookTimeout: patience });

/** The input file that the golden one holds, as a person would write it. */
async function inputOf(golden: string): Promise<string> {
  const { tensors } = await readGolden(golden);
  const inputs = [...tensors].filter(([name]) => name.startsWith("input."));
  const path = at(`${golden.replaceAll("/", "-")}`);
  writeFileSync(path, writeTensors(new Map(inputs.map(([name, t]) => [name.slice("input.".length), t]))));
  return path;
}

const component = (name: string, input: string, ...more: string[]) => [
  ...["run", "--model", strong, "--component", name, "--input", input, "--output", at("out.safetensors"), "--json"],
  ...more,
];

describe("run", () => {
  it.each([
    ["unet", "sd15-strong.unet"],
    ["text_encoder", "sd15-strong.text_encoder"],
    ["vae_encoder", "sd15-strong.vae_encoder"],
    ["vae_decoder", "sd15-strong.vae_decoder"],
  ])("%s gives what diffusers gives", async (name, golden) => {
    const file = `data/${golden}.safetensors`;
    const { code, stdout } = await w2sd(...component(name, await inputOf(file)));
    expect(code).toBe(0);
    const report = JSON.parse(stdout) as { outputs: Record<string, number[]>; output: string };
    expect(report).toMatchObject({ component: name, dtype: "f32", output: at("out.safetensors") });
    const ours = await readTensors(at("out.safetensors"));
    const expected = (await readGolden(file)).tensors.get("output")!;
    expect(ours.get("output")).toMatchObject({ shape: expected.shape, dtype: "F32" });
    expect(report.outputs).toEqual(Object.fromEntries([...ours].map(([key, { shape }]) => [key, shape])));
    // The project's promise for a component in f32.
    expect(relativeError(ours.get("output")!.data, expected.data)).toBeLessThanOrEqual(1e-4);
  });

  it.each([
    ["unet", "sd15-strong.vae_decoder", ["the input file has no tensor 'sample'", "it has "]],
    ["text_encoder", "sd15-strong.unet", ["the input file has no tensor 'input_ids'"]],
  ])("%s on another one's input", async (name, golden, said) => {
    await expectRefusal(component(name, await inputOf(`data/${golden}.safetensors`)), 5, "FileError: ", ...said);
  });

  it("inputs of the wrong rank or size", async () => {
    writeTensor(at("flat"), "latents", "F32", [4, 8, 8], new Uint8Array(1024));
    await expectRefusal(
      component("vae_decoder", at("flat")),
      5,
      "input 'latents' [4, 8, 8] has 3 dimensions, wanted 4",
    );
    writeTensor(at("wide"), "latents", "F32", [1, 16, 8, 8], new Uint8Array(4096));
    await expectRefusal(
      component("vae_decoder", at("wide")),
      5,
      /'latents' has 1024 elements, the model wants 256, \[1, 8, 8, 4\]/,
    );
    await expectRefusal(component("vae_decoder", at("missing")), 5, `${at("missing")}: no such file`);
  });

  it.runIf(existsSync("/dev/full"))("a full disk: said with the size, and a failure", async () => {
    const input = await inputOf("data/sd15-strong.text_encoder.safetensors");
    const args = component("text_encoder", input).map((arg) => (arg === at("out.safetensors") ? "/dev/full" : arg));
    const said = /OutputError: output '\/dev\/full' of \d+ bytes cannot be written: no space left on the disk/;
    await expectRefusal(args, 1, said, "hint: free some, or write to another disk");
  });
});

describe("inspect", () => {
  it("a diffusers folder", async () => {
    const { code, stdout, stderr } = await w2sd("inspect", strong, "--json");
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(stdout.trimEnd()).not.toContain("\n");
    const report = JSON.parse(stdout) as { components: { name: string }[] };
    expect(report).toMatchObject({
      kind: "diffusers",
      runnable: true,
      latents: { channels: 4, factor: 8 },
      problems: [],
    });
    expect(report.components.map((c) => c.name)).toEqual(["unet", "vae", "text_encoder"]);
    const plain = await w2sd("inspect", strong);
    expect(plain.stdout).toMatch(/\(diffusers\)\n\d+(\.\d+ M)? parameters, .*\n {2}unet +\d+ tensors/);
  });

  it("a single file: what fits SD 1.x and what does not", async () => {
    const { code, stdout } = await w2sd("inspect", goldenPath("models/single-file/sd15-strong.safetensors"), "--json");
    expect(code).toBe(0);
    const report = JSON.parse(stdout) as { kind: string; family: string; runnable: boolean; problems: string[] };
    expect(report).toMatchObject({ kind: "single-file", family: "Stable Diffusion 1.x", runnable: false });
    // It is a tiny one, and inspect has no configs but those of the real family.
    expect(report.problems.join("\n")).toMatch(/unet: \d+ tensors unfit: /);
  });

  it("a LoRA, by name, with an escaped description", async () => {
    const key = "lora_unet_down_blocks_0_attentions_0_proj_in.lora_down.weight";
    writeTensor(at("lora.safetensors"), key, "F16", [2, 2], new Uint8Array(8));
    const { code, stdout } = await w2sd("inspect", at("lora.safetensors"), "--json");
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({
      family: "a LoRA (kohya keys)",
      runnable: false,
      parameters: 4,
      bytes: 8,
    });
  });

  it("damage", async () => {
    writeFileSync(at("cut.safetensors"), Buffer.from("ffff000000000000", "hex"));
    await expectRefusal(
      ["inspect", at("cut.safetensors"), "--json"],
      5,
      /header of 65535 bytes is announced, the file/,
    );
    expect(words(await w2sd("inspect"))).toContain("missing required argument 'path'");
  });
});
