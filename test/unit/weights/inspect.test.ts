import { expect, test } from "vitest";
import { inspect, showInspection } from "../../../src/weights/inspect.ts";
import { bytesSource } from "../../../src/weights/source.ts";
import {
  configFolder,
  diffusersFiles,
  folderOf,
  json,
  ldmTensors,
  safetensors,
  tensorOf,
  tensorsOf,
  tinyConfigs,
} from "./fake-checkpoints.ts";

const size = (tensors: readonly { data: Uint8Array }[]): number => tensors.reduce((n, { data }) => n + data.length, 0);
const all = [...tensorsOf("unet"), ...tensorsOf("vae"), ...tensorsOf("text_encoder")];

test("a diffusers folder", async () => {
  const seen = await inspect(folderOf(diffusersFiles()));
  expect(seen).toMatchObject({
    name: "tiny",
    kind: "diffusers",
    runnable: true,
    problems: [],
    bytes: size(all),
    parameters: size(all) / 2,
    latents: { channels: 4, factor: 2 },
    predictionType: "epsilon",
    metadata: { format: "pt" },
  });
  expect(seen.components.map(({ name, class: kind, tensors }) => [name, kind, tensors])).toEqual([
    ["unet", "UNet2DConditionModel", tensorsOf("unet").length],
    ["vae", "AutoencoderKL", tensorsOf("vae").length],
    ["text_encoder", "CLIPTextModel", tensorsOf("text_encoder").length],
  ]);
  const lines = showInspection(seen);
  expect(lines[0]).toBe("tiny: Stable Diffusion of its own size (diffusers)");
  expect(lines.find((line) => line.includes("vae"))).toMatch(
    /^ {2}vae +\d+ tensors, \d+ parameters, [\d.]+ kB, F16 ×\d+, AutoencoderKL$/,
  );
  expect(lines).toContain("latents: 4 channels, 1/2 of the size");
  expect(lines).toContain("predicts: epsilon");
});

test("a single file, with its dtypes counted", async () => {
  const mixed = [
    ...ldmTensors({ unet: tensorsOf("unet") }),
    ...ldmTensors({ vae: tensorsOf("vae", tinyConfigs.vae, "F32") }),
  ];
  const seen = await inspect(safetensors([...mixed, tensorOf("betas", [4])]), { config: configFolder() });
  expect(seen).toMatchObject({ kind: "single-file", runnable: false, problems: ["no text_encoder"] });
  expect(seen.components.map(({ dtypes, ignored }) => [dtypes, ignored])).toEqual([
    [{ F16: tensorsOf("unet").length }, 1],
    [{ F32: tensorsOf("vae").length }, 0],
  ]);
});

test("what does not fit is reported, not thrown", async () => {
  const tensors = ldmTensors().filter(({ name }) => name !== "model.diffusion_model.out.2.bias");
  const seen = await inspect(safetensors([...tensors, tensorOf("model.diffusion_model.extra", [1])]), {
    config: configFolder(),
  });
  expect(seen.runnable).toBe(false);
  expect(seen.problems).toEqual([
    "unet: 1 tensor missing: 'model.diffusion_model.out.2.bias'",
    "unet: 1 tensor unexpected: 'model.diffusion_model.extra'",
  ]);
  expect(showInspection(seen).filter((line) => line.startsWith("problem: "))).toHaveLength(2);
});

test("latents that do not fit each other, and a missing schedule", async () => {
  const files = diffusersFiles();
  const config = { ...tinyConfigs.vae, latent_channels: 3 };
  files.set("vae/config.json", json(config));
  files.set("vae/diffusion_pytorch_model.safetensors", safetensors(tensorsOf("vae", config)));
  files.delete("scheduler/scheduler_config.json");
  const seen = await inspect(folderOf(files));
  expect(seen.problems).toEqual([
    "no scheduler/scheduler_config.json",
    "the vae has 3 latent channels, the unet takes 4",
  ]);
  expect(seen.predictionType).toBeUndefined();
});

test("other files: a LoRA by its groups", async () => {
  const lora = ["lora_unet_a.lora_down.weight", "lora_unet_b.lora_up.weight", "lora_te_c.lora_down.weight"].map(
    (name) => tensorOf(name, [4, 4]),
  );
  const seen = await inspect(safetensors(lora, { ss_network_dim: "4" }));
  expect(seen).toMatchObject({
    kind: "safetensors",
    family: "a LoRA (kohya keys)",
    runnable: false,
    parameters: 48,
    bytes: 96,
  });
  expect(seen.components.map(({ name, tensors }) => [name, tensors]).sort()).toEqual([
    ["lora_te", 1],
    ["lora_unet", 2],
  ]);
  expect(seen.problems).toEqual(["a LoRA (kohya keys): not run here"]);
});

test("many groups are summed up", async () => {
  const many = Array.from({ length: 40 }, (_, i) => tensorOf(`g${i}.w`, [2]));
  const { components, family } = await inspect(safetensors(many));
  expect(family).toBe("unknown");
  expect(components).toHaveLength(13);
  expect(components.at(-1)).toMatchObject({ name: "(others)", tensors: 28 });
});

test("metadata are cut and cannot steer a terminal", async () => {
  const metadata = Object.fromEntries(Array.from({ length: 50 }, (_, i) => [`k${String(i).padStart(2, "0")}`, "v"]));
  const seen = await inspect(
    safetensors([tensorOf("a", [2])], { ...metadata, k00: "\x1b[2J".padEnd(5000, "x"), __proto__x: "1" }),
  );
  expect(Object.keys(seen.metadata)).toHaveLength(32);
  expect(seen.metadata.k00).toHaveLength("\\u{1b}".length + 200);
  expect(showInspection(seen).join("\n")).not.toContain("\x1b");
  expect(JSON.parse(JSON.stringify(seen))).toEqual(seen);
});

test("a damaged file is an error", async () => {
  await expect(inspect(bytesSource("x.safetensors", new Uint8Array(100)))).rejects.toThrow(/x\.safetensors/);
});
