import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it, type TestContext } from "vitest";
import { AdapterError } from "../../src/errors.ts";
import { findAdapter } from "../../src/node/adapter.ts";
import { createPipeline } from "../../src/pipeline/pipeline.ts";
import type { GenerateRequest } from "../../src/pipeline/request.ts";
import { openCheckpoint } from "../../src/weights/checkpoint.ts";
import { diskFolder } from "../../src/weights/disk.ts";
import { encodeSafetensors } from "../../src/weights/write.ts";
import { closeTestGpu, testGpu } from "../support/adapter.ts";
import { goldenPath, readGolden, relativeError } from "../support/golden.ts";
import { browserForTests, startHarness, type Harness } from "./harness.ts";
import type { Answers } from "./jobs.ts";

// The built engine in a real browser, on its SwiftShader: loading over HTTP and from a picked file, a whole W2SD picture, errors, and that nothing stays behind.
const found = await browserForTests();

// As small as the models allow: compiling is most of the time.
const small: GenerateRequest = {
  prompt: "a photo of a cat",
  negativePrompt: "blurry, low quality",
  seed: 42,
  width: 64,
  height: 64,
  returnLatents: true,
};
const w2sd: GenerateRequest = { ...small, steps: 3, reflection: { inversion: "exact" } };
const plain: GenerateRequest = { ...small, steps: 1 };

describe.skipIf(!found)(`in ${found?.path ?? "no browser"}`, () => {
  let harness: Harness;
  let models: string;
  let first: Answers["generate"];
  let fromFolder: Answers["generate"];

  beforeAll(async () => {
    harness = await startHarness(found!);
    models = `${harness.served.url}/test/golden/models`;
  });
  afterAll(async () => {
    await harness?.close();
    await closeTestGpu();
  });

  it("loads a pair by address, with one range a read and nothing read twice", async () => {
    const opened = await harness.run("open", { model: `${models}/sd15-strong`, weak: `${models}/sd15-weak` });
    expect(opened.uploads).toEqual(["text_encoder", "unet", "vae_decoder", "text_encoder", "unet"]);
    expect(opened.adapter).toMatchObject({ vendor: "google", software: true });
    const asked = harness.served.log.filter((line) => line.startsWith("/test/golden/models/"));
    expect(asked.filter((line) => !/ bytes=\d+-\d+$/.test(line))).toEqual([]);
    expect(asked.filter((line, i) => asked.indexOf(line) !== i)).toEqual([]);
  });

  it("makes a W2SD picture, and reads nothing back but what was asked for", async () => {
    first = await harness.run("generate", w2sd);
    expect(first).toMatchObject({ width: 64, height: 64, seed: 42 });
    expect(first.nfe).toEqual({ main: 3, down: 2, up: 2, branches: 3 * 2 + 2 + 2 });
    expect(first.gpu.readbacks).toBe(2);
    expect(first.steps.at(-1)).toBe("7/7");
    const again = await harness.run("generate", { ...w2sd, returnLatents: false });
    expect(again.gpu.readbacks).toBe(1);
    expect(again.latents).toBeUndefined();
    expect(again.pixels).toEqual(first.pixels);
  });

  it("agrees with the same run in Node", async (context) => {
    await needNodeAdapter(context);
    const folders = await Promise.all(["sd15-strong", "sd15-weak"].map((n) => diskFolder(goldenPath(`models/${n}`))));
    const [model, weak] = await Promise.all(folders.map((folder) => openCheckpoint(folder)));
    const pipeline = await createPipeline({ gpu: await testGpu(), model: model!, weak, dtype: "f32" });
    try {
      const { latents, picture } = await pipeline.generate(w2sd);
      const error = relativeError(first.latents!, latents!);
      const apart = Math.max(...first.pixels.map((p, i) => Math.abs(p - picture.data[i]!)));
      if (process.env["SHOW_ERRORS"]) console.log(`latents ${error.toExponential(2)}, pixels ${apart}`);
      // Two drivers in f32: sums in another order, through 7 evaluations of some 60 layers.
      expect(error).toBeLessThanOrEqual(1e-3);
      expect(apart).toBeLessThanOrEqual(2);
      // A picture that is one colour would agree by itself.
      expect(new Set(first.pixels).size).toBeGreaterThan(16);
    } finally {
      pipeline.dispose();
      for (const folder of folders) await folder.close();
    }
  });

  it("stops at a signal and leaves nothing of the run", async () => {
    const { error, leftBytes } = await harness.run("stop", w2sd);
    expect(error).toMatchObject({ name: "AbortError", classes: ["W2sdError", "AbortError"] });
    expect(leftBytes).toBe(0);
  });

  it("runs one component as diffusers does", async () => {
    const { tensors } = await readGolden("data/sd15-strong.text_encoder.safetensors");
    const inputs = [...tensors]
      .filter(([name]) => name.startsWith("input."))
      .map(([name, { shape, data }]) => ({ name: name.slice("input.".length), shape, data: [...data] }));
    const expected = tensors.get("output")!;
    const model = `${models}/sd15-strong`;
    const { shape, data } = await harness.run("component", { model, component: "text_encoder", inputs });
    expect(shape).toEqual([...expected.shape]);
    expect(relativeError(data, expected.data)).toBeLessThanOrEqual(1e-4);
  });

  it("gives the toy's published numbers", async () => {
    const { x, alive } = await harness.run("toy", undefined);
    const published = [1.1966, 1.6574, 1.8879, 2.2105, 2.8096];
    expect(x).toHaveLength(published.length);
    // Four decimals are printed; f32 over 148 evaluations adds less than that.
    x.forEach((value, i) => expect(Math.abs(value - published[i]!)).toBeLessThan(1e-3));
    expect(alive).toBe(true);
  });

  it("returns every byte and leaves the page its device", async () => {
    fromFolder = await harness.run("generate", plain);
    expect(await harness.run("dispose", undefined)).toEqual({ left: [], bytes: 0, borrowed: true, alive: true });
  });

  it("loads a picked single file onto a device of its own, and destroys that one", async () => {
    const input = await harness.page.$("input#file");
    await input!.uploadFile(goldenPath("models/single-file/sd15-strong.safetensors"));
    await harness.run("openPicked", { config: "/test/golden/models/single-file/sd15-strong.config" });
    const fromFile = await harness.run("generate", plain);
    // The same tensors in another layout on disk. A device of the engine's own has subgroups, the page's has none: sums in another order.
    expect(relativeError(fromFile.latents!, fromFolder.latents!)).toBeLessThanOrEqual(1e-5);
    expect(Math.max(...fromFile.pixels.map((p, i) => Math.abs(p - fromFolder.pixels[i]!)))).toBeLessThanOrEqual(1);
    expect(await harness.run("dispose", undefined)).toEqual({ left: [], bytes: 0, borrowed: false, alive: false });
  });

  it("fetches CLIP's merge list from beside the package", async () => {
    const text = readFileSync(new URL("../../assets/clip-merges.txt", import.meta.url), "utf8");
    const { lines, characters } = await harness.run("merges", undefined);
    expect({ lines, characters }).toEqual({ lines: text.split("\n").length, characters: text.length });
  });

  describe("says what is wrong with", () => {
    const bytes = (text: string) => [...new TextEncoder().encode(text)];
    const f16 = (name: string, ...shape: number[]) => {
      const data = new Uint8Array(2 * shape.reduce((a, b) => a * b, 1));
      return { name, dtype: "F16", shape, data } as const;
    };
    const sdxl = [
      f16("model.diffusion_model.input_blocks.0.0.weight", 1, 4, 3, 3),
      f16("conditioner.embedders.1.model.transformer.resblocks.9.mlp.c_proj.bias", 4),
    ];
    const lora = [f16("lora_unet_mid_block.lora_down.weight", 4, 8), f16("lora_unet_mid_block.lora_up.weight", 8, 4)];
    it.each<[string, { name: string; bytes: number[] } | "missing" | "elsewhere", RegExp, RegExp]>([
      ["an address with nothing there", "missing", /is no model folder/, /hint: give the folder/],
      ["a server that allows no other origin", "elsewhere", /the request failed/, /hint: .*\(CORS\)/],
      [
        "a pickle",
        { name: "model.ckpt", bytes: [0x80, 2, ...bytes("}q\x00X\x06\x00\x00\x00")] },
        /pickle/,
        /hint: .*\.safetensors/,
      ],
      [
        "SDXL",
        { name: "xl.safetensors", bytes: [...encodeSafetensors(sdxl)] },
        /SDXL/,
        /hint: give a Stable Diffusion/,
      ],
      ["a LoRA", { name: "lora.safetensors", bytes: [...encodeSafetensors(lora)] }, /LoRA/, /hint: /],
      ["a cut file", { name: "cut.safetensors", bytes: [...encodeSafetensors(sdxl)].slice(0, 40) }, /cut/, /hint: /],
    ])("%s", async (_, given, message, hint) => {
      const addresses = {
        missing: `${models}/nothing`,
        elsewhere: `${models}/sd15-strong`.replace("127.0.0.1", "localhost"),
      };
      const error = await harness.run("refused", typeof given === "string" ? addresses[given] : given);
      expect(error).toMatchObject({ name: "FileError", classes: ["W2sdError", "FileError"] });
      expect(error!.message).toMatch(message);
      expect(error!.message).toMatch(hint);
      expect(error!.hint).toBeTruthy();
    });
  });

  it("complains of nothing besides", () => {
    const cors = /blocked by CORS policy/;
    expect(harness.complaints.filter((line) => !cors.test(line))).toEqual([]);
  });
});

/** Leaves a test out where Node has no adapter; with CI=true it has to have one. */
async function needNodeAdapter(context: TestContext): Promise<void> {
  try {
    await findAdapter();
  } catch (error) {
    if (!(error instanceof AdapterError) || process.env["CI"]) throw error;
    context.skip(`no adapter in Node: ${error.message}`);
  }
}
