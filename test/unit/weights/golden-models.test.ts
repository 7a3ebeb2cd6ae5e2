import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { needComponent, openCheckpoint, type Checkpoint, type Component } from "../../../src/weights/checkpoint.ts";
import { diskFolder, fileSource } from "../../../src/weights/disk.ts";
import { familyConfigs } from "../../../src/weights/keys/default-configs.ts";
import { modernName } from "../../../src/weights/keys/diffusers-names.ts";
import { unetLayout } from "../../../src/weights/keys/expect-unet.ts";
import { expectedTensors } from "../../../src/weights/keys/expected.ts";
import { ldmUnetKey, ldmVaeKey } from "../../../src/weights/keys/ldm-names.ts";
import { inspect } from "../../../src/weights/inspect.ts";

// Tiny models that diffusers and transformers wrote, and single files of the same tensors that diffusers' own converters
// have mapped back: see weights-tools/golden.
const models = join(import.meta.dirname, "../../golden/models");
const singles = join(models, "single-file");
const folders = readdirSync(models, { withFileTypes: true })
  .filter((entry) => entry.isDirectory() && entry.name !== "single-file")
  .map(({ name }) => name);

const opened: { close(): Promise<void> }[] = [];
afterAll(() => Promise.all(opened.map((one) => one.close())));
async function keep<T extends { close(): Promise<void> }>(opening: Promise<T>): Promise<T> {
  const one = await opening;
  opened.push(one);
  return one;
}

const parts = ["unet", "vae", "text_encoder"] as const;
const openFolder = async (name: string): Promise<Checkpoint> =>
  openCheckpoint(await keep(diskFolder(join(models, name))));

test("the models are there", () => {
  expect(folders).toEqual(expect.arrayContaining(["sd15-strong", "sd15-weak", "sd2", "bk-tiny", "taesd"]));
  expect(readdirSync(singles)).toEqual(expect.arrayContaining(["sd15-strong.safetensors", "mini-ema.safetensors"]));
});

test.each(folders)("%s: every tensor is there, and no other", async (name) => {
  const checkpoint = await openFolder(name);
  const present = parts.filter((part) => readdirSync(join(models, name)).includes(part));
  expect(present.length).toBeGreaterThan(0);
  for (const part of present) {
    const component = needComponent(checkpoint, part);
    expect(component).toMatchObject({ missing: [], unexpected: [], misfits: [] });
    expect(component.tensors.size).toBeGreaterThan(10);
  }
  const seen = await inspect(await keep(diskFolder(join(models, name))));
  expect(seen.components.map((component) => component.name)).toEqual(present);
  expect(seen.parameters).toBeGreaterThan(10_000);
});

/** Tensors of two components are the same, name for name, shape for shape and byte for byte. */
async function expectTwins(found: Component, wanted: Component): Promise<void> {
  expect([...found.tensors.keys()].sort()).toEqual([...wanted.tensors.keys()].sort());
  for (const [name, entry] of found.tensors) {
    const twin = wanted.tensors.get(name)!;
    expect([name, entry.dtype, entry.shape]).toEqual([name, twin.dtype, twin.shape]);
    const [a, b] = await Promise.all([
      entry.source.read(entry.begin, entry.end),
      twin.source.read(twin.begin, twin.end),
    ]);
    expect(Buffer.compare(a, b), name).toBe(0);
  }
}

describe.each([
  { file: "sd15-strong", unet: "sd15-strong", rest: "sd15-strong", averaged: false },
  // Without text_model. in its text keys, and with averaged weights beside the trained ones.
  { file: "mini-ema", unet: "mini", rest: "sd15-weak", averaged: true },
])("single file $file", ({ file, unet, rest, averaged }) => {
  const openSingle = async (ema = false): Promise<Checkpoint> => {
    const source = await keep(fileSource(join(singles, `${file}.safetensors`)));
    return openCheckpoint(source, { config: await keep(diskFolder(join(singles, `${file}.config`))), ema });
  };

  test("is its diffusers twin byte for byte", async () => {
    const single = await openSingle();
    const [unetTwin, restTwin] = [await openFolder(unet), await openFolder(rest)];
    for (const part of parts) {
      await expectTwins(needComponent(single, part), needComponent(part === "unet" ? unetTwin : restTwin, part));
    }
    expect(single.scheduler).toEqual(restTwin.scheduler);
    expect(single.tokenizer).toEqual(restTwin.tokenizer);
    expect(needComponent(single, "unet").ignored).toEqual(
      expect.arrayContaining(["alphas_cumprod", "betas", "logvar"]),
    );
    expect(needComponent(single, "text_encoder").ignored).toEqual(
      expect.arrayContaining(["cond_stage_model.logit_scale"]),
    );
    expect(needComponent(single, "text_encoder").ignored.some((key) => key.endsWith("position_ids"))).toBe(true);
  });

  test("averaged weights", async () => {
    if (!averaged) {
      await expect(openSingle(true)).rejects.toThrow(/averaged \(EMA\) weights asked for, it has 0/);
      return;
    }
    const [trained, average] = [(await openSingle()).unet!, (await openSingle(true)).unet!];
    expect([...average.tensors.keys()]).toEqual([...trained.tensors.keys()]);
    for (const [name, entry] of average.tensors) {
      expect(entry.name).toMatch(/^model_ema\.diffusion_model/);
      const other = trained.tensors.get(name)!;
      const [a, b] = await Promise.all([
        entry.source.read(entry.begin, entry.end),
        other.source.read(other.begin, other.end),
      ]);
      expect(Buffer.compare(a, b), name).not.toBe(0);
    }
  });
});

describe("the keys of full-size SD1.5", () => {
  const { sd1 } = familyConfigs;
  const configs = { unet: sd1.unet, vae: sd1.vae, text_encoder: sd1.textEncoder };
  const file = join(import.meta.dirname, "../../golden/data/sd15-keys.json");
  const golden = JSON.parse(readFileSync(file, "utf8")) as Record<(typeof parts)[number], Record<string, number[]>>;
  const layout = unetLayout(sd1.unet, "SD1.5");
  const ldmKey = {
    unet: (name: string) => ldmUnetKey(name, layout).key,
    vae: (name: string) => ldmVaeKey(name, 4).key,
    text_encoder: (name: string) => name,
  };

  test.each([
    ["unet", 686],
    ["vae", 248],
    ["text_encoder", 196],
  ] as const)("%s: all %d have their place in a single file", (part, size) => {
    const wanted = Object.entries(golden[part])
      .map(([name, shape]): [string, number[]] => [modernName(part, name), shape])
      .filter(([name]) => !name.endsWith("position_ids"));
    expect(wanted).toHaveLength(size);
    expect(new Map(wanted.sort())).toEqual(new Map([...expectedTensors(part, configs[part], "SD1.5")].sort()));
    expect(new Set(wanted.map(([name]) => ldmKey[part](name))).size).toBe(size);
  });
});
