import { describe, expect, test } from "vitest";
import { FileError } from "../../../src/errors.ts";
import {
  needComponent,
  needTensor,
  openCheckpoint,
  type Checkpoint,
  type OpenOptions,
} from "../../../src/weights/checkpoint.ts";
import { familyConfigs } from "../../../src/weights/keys/default-configs.ts";
import { expectedTensors } from "../../../src/weights/keys/expected.ts";
import { bytesSource, type ByteSource } from "../../../src/weights/source.ts";
import type { TensorData } from "../../../src/weights/write.ts";
import {
  configFolder,
  folderOf,
  ldmTensors,
  parts,
  safetensors,
  tensorOf,
  tensorsOf,
  tinyScheduler,
  type Part,
  type TextLayout,
} from "./fake-checkpoints.ts";

const open = (
  tensors: readonly TensorData[],
  options: OpenOptions = {},
  metadata?: Record<string, string>,
): Promise<Checkpoint> => openCheckpoint(safetensors(tensors, metadata), { config: configFolder(), ...options });

async function expectSameBytes(checkpoint: Checkpoint, part: Part): Promise<void> {
  const component = needComponent(checkpoint, part);
  const expected = tensorsOf(part);
  expect(component.tensors.size).toBe(expected.length);
  for (const { name, shape, data } of expected) {
    const entry = needTensor(component, name, shape);
    expect(await entry.source.read(entry.begin, entry.end), name).toEqual(data);
  }
}

test.each<TextLayout>(["text_model", "no text_model", "openclip"])(
  "a whole file, text as %s: every tensor with its bytes",
  async (text) => {
    const checkpoint = await open(ldmTensors(undefined, { text }), {}, { "modelspec.title": "tiny" });
    expect(checkpoint).toMatchObject({ name: "weights", kind: "single-file", scheduler: tinyScheduler });
    expect(checkpoint.metadata.get("modelspec.title")).toBe("tiny");
    for (const part of parts) await expectSameBytes(checkpoint, part);
  },
);

test("a VAE under the prefix vae.", async () => {
  const tensors = ldmTensors().map((t) => ({ ...t, name: t.name.replace("first_stage_model.", "vae.") }));
  await expectSameBytes(await open(tensors), "vae");
});

test("some text keys with text_model., some without", async () => {
  const mixed = ldmTensors().map((t, i) => ({ ...t, name: i % 2 === 0 ? t.name.replace("text_model.", "") : t.name }));
  await expectSameBytes(await open(mixed), "text_encoder");
});

test("what nobody needs is ignored, and listed", async () => {
  const needless = [
    ...[
      "alphas_cumprod",
      "alphas_cumprod_prev",
      "betas",
      "sqrt_alphas_cumprod",
      "log_one_minus_alphas_cumprod",
      "posterior_variance",
      "logvar",
    ],
    ...["lora_unet_x.lora_down.weight", "model_ema.decay", "model_ema.num_updates"],
    "cond_stage_model.transformer.text_model.embeddings.position_ids",
    "cond_stage_model.logit_scale",
  ];
  const { unet, vae, textEncoder } = await open([
    ...ldmTensors(),
    ...needless.map((name) => tensorOf(name, [4], "F32")),
  ]);
  expect([...unet!.ignored, ...vae!.ignored, ...textEncoder!.ignored].sort()).toEqual([...needless].sort());
});

test("OpenCLIP's last layer, projection and scale are dropped; one layer more is not", async () => {
  const layer = (i: number): TensorData =>
    tensorOf(`cond_stage_model.model.transformer.resblocks.${i}.ln_1.weight`, [12]);
  const extra = [
    layer(3),
    tensorOf("cond_stage_model.model.text_projection", [12, 12]),
    tensorOf("cond_stage_model.model.logit_scale", []),
  ];
  const tensors = ldmTensors(undefined, { text: "openclip" });
  const { textEncoder } = await open([...tensors, ...extra]);
  expect(textEncoder!.ignored).toHaveLength(3);
  await expectSameBytes({ textEncoder } as Checkpoint, "text_encoder");
  await expect(open([...tensors, ...extra, layer(4)])).rejects.toThrow(
    /1 tensor unexpected \('cond_stage_model\.model\.transformer\.resblocks\.4\.ln_1\.weight'\)/,
  );
});

test("an in_proj whose rows are not three parts is named with its shape", async () => {
  const key = "cond_stage_model.model.transformer.resblocks.0.attn.in_proj_bias";
  const tensors = ldmTensors(undefined, { text: "openclip" }).map((t) => (t.name === key ? tensorOf(key, [35]) : t));
  await expect(open(tensors)).rejects.toThrow(
    /3 tensors of another shape or dtype \('.*in_proj_bias: \[35\], the config wants \[12\]'/,
  );
});

describe("averaged weights", () => {
  const trained = ldmTensors();
  const averagedKey = (key: string): string =>
    `model_ema.diffusion_model${key.slice("model.diffusion_model".length).replaceAll(".", "")}`;
  const averaged = trained
    .filter(({ name }) => name.startsWith("model.diffusion_model."))
    .map((t) => tensorOf(averagedKey(t.name), t.shape));

  test("the key of an average is the key without dots", () => {
    expect(averagedKey("model.diffusion_model.input_blocks.1.0.in_layers.0.weight")).toBe(
      "model_ema.diffusion_modelinput_blocks10in_layers0weight",
    );
  });

  test("are left alone unless asked for", async () => {
    expect(averaged.length).toBeGreaterThan(100);
    const { unet } = await open([...trained, ...averaged]);
    expect(unet!.ignored).toHaveLength(averaged.length);
    await expectSameBytes({ unet } as Checkpoint, "unet");
  });

  test("are taken if asked for", async () => {
    const { unet } = await open([...trained, ...averaged], { ema: true });
    const entry = needTensor(unet!, "down_blocks.0.resnets.0.norm1.weight");
    expect(entry.name).toBe("model_ema.diffusion_modelinput_blocks10in_layers0weight");
    expect(await entry.source.read(entry.begin, entry.end)).toEqual(tensorOf(entry.name, [8]).data);
    expect(unet!.tensors.size).toBe(averaged.length);
  });

  test("asked for where there are none, or only strays", async () => {
    await expect(open(trained, { ema: true })).rejects.toThrow(/averaged \(EMA\) weights asked for, it has 0/);
    await expect(open([...trained, ...averaged.slice(0, 100)], { ema: true })).rejects.toThrow(/it has 100/);
  });
});

describe("what does not fit", () => {
  test("missing keys are named as in the file", async () => {
    const opening = open(
      ldmTensors().filter(({ name }) => name !== "model.diffusion_model.middle_block.0.in_layers.2.weight"),
    );
    await expect(opening).rejects.toThrow(FileError);
    await expect(opening).rejects.toThrow(
      /weights: the unet does not fit configs: unet\/config\.json .*1 tensor missing \('model\.diffusion_model\.middle_block\.0\.in_layers\.2\.weight'\)/,
    );
  });

  test("unexpected keys, in a component or beside them", async () => {
    for (const key of [
      "model.diffusion_model.extra.weight",
      "first_stage_model.extra",
      "cond_stage_model.extra",
      "something.else",
    ]) {
      await expect(open([...ldmTensors(), tensorOf(key, [2])])).rejects.toThrow(`1 tensor unexpected ('${key}')`);
      const tolerant = await open([...ldmTensors(), tensorOf(key, [2])], { tolerant: true });
      expect(parts.flatMap((part) => needComponent(tolerant, part).unexpected)).toEqual([key]);
    }
  });

  test("without its configs, a tiny file is held to SD 1.x", async () => {
    await expect(openCheckpoint(safetensors(ldmTensors()))).rejects.toThrow(
      /does not fit the config of SD 1\.x .*\[8, 4, 3, 3\], the config wants \[320, 4, 3, 3\]/,
    );
  });

  test.each<[string, readonly TensorData[], RegExp]>([
    ["a LoRA", [tensorOf("lora_unet_x.lora_down.weight", [4, 8])], /holds a LoRA/],
    [
      "SDXL",
      [
        tensorOf("conditioner.embedders.1.model.transformer.resblocks.9.mlp.c_proj.bias", [1280]),
        tensorOf("model.diffusion_model.input_blocks.0.0.weight", [8, 4, 3, 3]),
      ],
      /holds SDXL base/,
    ],
    ["inpainting", [tensorOf("model.diffusion_model.input_blocks.0.0.weight", [8, 9, 3, 3])], /inpainting/],
    ["no tensors", [], /holds no tensors/],
  ])("%s", async (_, tensors, message) => {
    await expect(open(tensors)).rejects.toThrow(FileError);
    await expect(open(tensors)).rejects.toThrow(message);
  });

  test("a pickle", async () => {
    const pickle = bytesSource("v1-5.ckpt", new TextEncoder().encode("PK\x03\x04".padEnd(100)));
    await expect(openCheckpoint(pickle)).rejects.toThrow(/v1-5\.ckpt is a Python pickle/);
  });
});

test("parts that the file has nothing of are absent", async () => {
  const checkpoint = await open(ldmTensors({ unet: tensorsOf("unet") }));
  expect(checkpoint.vae ?? checkpoint.textEncoder).toBeUndefined();
  await expectSameBytes(checkpoint, "unet");
  const one = await open(ldmTensors(), { components: ["vae"] });
  expect(one.unet ?? one.textEncoder).toBeUndefined();
  await expectSameBytes(one, "vae");
});

/** A file of full size by its header alone: the data are not there, and must not be asked for. */
function fullSize(family: "sd1" | "sd2", metadata?: Record<string, string>): ByteSource {
  const { unet, vae, textEncoder } = familyConfigs[family];
  const configs = { unet, vae, text_encoder: textEncoder };
  const empty = (part: Part): TensorData[] =>
    [...expectedTensors(part, configs[part], "c")].map(([name, shape]) => ({
      name,
      dtype: "F16",
      shape,
      data: new Uint8Array(0),
    }));
  const text = family === "sd1" ? "text_model" : "openclip";
  const tensors = ldmTensors(
    { unet: empty("unet"), vae: empty("vae"), text_encoder: empty("text_encoder") },
    { text, configs },
  );
  let at = 0;
  const header = Object.fromEntries(
    tensors.map(({ name, shape }) => {
      const begin = at;
      at += 2 * shape.reduce((n, d) => n * d, 1);
      return [name, { dtype: "F16", shape, data_offsets: [begin, at] }];
    }),
  );
  const bytes = new TextEncoder().encode(
    JSON.stringify(metadata === undefined ? header : { __metadata__: metadata, ...header }),
  );
  const begin = new Uint8Array(8 + bytes.length);
  new DataView(begin.buffer).setUint32(0, bytes.length, true);
  begin.set(bytes, 8);
  const source: ByteSource = {
    name: `${family}.safetensors`,
    size: begin.length + at,
    read: async (from, to) => {
      expect(to).toBeLessThanOrEqual(begin.length + 8);
      return begin.slice(from, to);
    },
  };
  return source;
}

describe("full-size files, by their headers", () => {
  test("SD 1.x: 686, 248 and 196 tensors, 2 132 M bytes in f16", async () => {
    const source = fullSize("sd1");
    const { unet, vae, textEncoder, scheduler, tokenizer, family } = await openCheckpoint(source);
    expect([unet!.tensors.size, vae!.tensors.size, textEncoder!.tensors.size]).toEqual([686, 248, 196]);
    expect(family).toBe("Stable Diffusion 1.x");
    expect(scheduler).toMatchObject({ prediction_type: "epsilon", steps_offset: 1, beta_schedule: "scaled_linear" });
    expect(tokenizer).toEqual({ specialTokensMap: { pad_token: "<|endoftext|>" } });
    // Pruned SD1.5 files in f16 have 2 132 6xx xxx bytes.
    expect(Math.round(source.size / 1e6)).toBe(2133);
  });

  test("SD 2.x: linear projections, 23 layers, padded with '!', v-prediction unless the file says otherwise", async () => {
    const { unet, textEncoder, scheduler, tokenizer } = await openCheckpoint(fullSize("sd2"));
    expect([unet!.tensors.size, textEncoder!.tensors.size]).toEqual([686, 372]);
    expect(needTensor(unet!, "down_blocks.0.attentions.0.proj_in.weight", [320, 320]).name).toBe(
      "model.diffusion_model.input_blocks.1.1.proj_in.weight",
    );
    expect(
      needTensor(textEncoder!, "text_model.encoder.layers.22.self_attn.k_proj.weight", [1024, 1024]).name,
    ).toContain("in_proj_weight");
    expect(scheduler).toMatchObject({ prediction_type: "v_prediction" });
    expect(tokenizer).toEqual({ specialTokensMap: { pad_token: "!" } });
    const prediction = async (metadata: Record<string, string>, options: OpenOptions = {}): Promise<unknown> =>
      (await openCheckpoint(fullSize("sd2", metadata), options)).scheduler!.prediction_type;
    expect(await prediction({ "modelspec.prediction_type": "epsilon" })).toBe("epsilon");
    expect(await prediction({ "modelspec.prediction_type": "v" })).toBe("v_prediction");
    expect(await prediction({ "modelspec.prediction_type": "v" }, { predictionType: "epsilon" })).toBe("epsilon");
  });
});

test("a config folder that has only some configs leaves the rest to the family's", async () => {
  const opening = openCheckpoint(safetensors(ldmTensors()), { config: folderOf(new Map(), "empty") });
  await expect(opening).rejects.toThrow(/the config of SD 1\.x/);
});
