import { describe, expect, test } from "vitest";
import { FileError } from "../../../src/errors.ts";
import { needComponent, needScheduler, needTensor, openCheckpoint } from "../../../src/weights/checkpoint.ts";
import { bytesSource, type ByteSource } from "../../../src/weights/source.ts";
import {
  diffusersFiles,
  fill,
  folderOf,
  json,
  openTiny,
  parts,
  safetensors,
  tensorOf,
  tensorsOf,
  tinyConfigs,
  tinyScheduler,
  weightsStem,
  type Change,
  type Part,
} from "./fake-checkpoints.ts";

const unetFile = "unet/diffusion_pytorch_model.safetensors";
const vaeFile = "vae/diffusion_pytorch_model.safetensors";

test("a whole folder: every tensor under its name, with its bytes", async () => {
  const checkpoint = await openTiny();
  expect(checkpoint).toMatchObject({ name: "tiny", kind: "diffusers", scheduler: tinyScheduler });
  expect(checkpoint.metadata.get("format")).toBe("pt");
  for (const part of parts) {
    const component = needComponent(checkpoint, part);
    expect(component).toMatchObject({
      name: part,
      config: tinyConfigs[part],
      missing: [],
      unexpected: [],
      misfits: [],
      ignored: [],
    });
    const expected = tensorsOf(part);
    expect(component.tensors.size).toBe(expected.length);
    for (const { name, shape, data } of expected) {
      const entry = needTensor(component, name, shape);
      expect(await entry.source.read(entry.begin, entry.end)).toEqual(data);
    }
  }
  expect(checkpoint.tokenizer).toEqual({
    vocab: { "a</w>": 0, "!": 1 },
    merges: "#version: 0.2\na b\n",
    specialTokensMap: { pad_token: "!" },
  });
});

test("opening reads headers and configs, no tensor, and no tokenizer if it is told so", async () => {
  const files = diffusersFiles();
  let read = 0;
  let most = 0;
  for (const [path, source] of files) {
    const watched: ByteSource = {
      ...source,
      read: async (begin, end) => {
        read += end - begin;
        if (path.endsWith(".safetensors")) most = Math.max(most, end / source.size);
        return source.read(begin, end);
      },
    };
    files.set(path, watched);
  }
  const { tokenizer } = await openCheckpoint(folderOf(files), { tokenizer: false });
  expect(tokenizer).toBeUndefined();
  const headers = parts.map((part) => `${part}/${weightsStem[part]}.safetensors`);
  const total = headers.reduce((n, path) => n + files.get(path)!.size, 0);
  expect(most).toBeLessThan(1);
  expect(read).toBeLessThan(total);
});

describe("names and shapes of older and newer folders", () => {
  const rewrite =
    (
      part: Part,
      path: string,
      rename: (name: string) => string,
      shape: (name: string, dims: readonly number[]) => readonly number[] = (_, d) => d,
    ): Change =>
    (files) => {
      const tensors = tensorsOf(part).map((t) => ({ ...t, name: rename(t.name), shape: shape(t.name, t.shape) }));
      files.set(path, safetensors(tensors));
    };
  const same = async (change: Change, part: Part): Promise<void> => {
    const component = needComponent(await openTiny(change), part);
    for (const { name, shape, data } of tensorsOf(part)) {
      const entry = needTensor(component, name, shape);
      expect(await entry.source.read(entry.begin, entry.end)).toEqual(data);
    }
  };

  test("VAE attention named query, key, value, proj_attn", async () => {
    const old = { to_q: "query", to_k: "key", to_v: "value", "to_out.0": "proj_attn" };
    const rename = (name: string): string =>
      name.replace(/(attentions\.0\.)(to_q|to_k|to_v|to_out\.0)/, (_, a: string, b: keyof typeof old) => a + old[b]);
    expect(rename("decoder.mid_block.attentions.0.to_out.0.bias")).toBe(
      "decoder.mid_block.attentions.0.proj_attn.bias",
    );
    await same(rewrite("vae", vaeFile, rename), "vae");
  });

  test("VAE attention as 1×1 convolutions", async () => {
    const shape = (name: string, dims: readonly number[]): readonly number[] =>
      /attentions\.0\.to_.*weight/.test(name) ? [...dims, 1, 1] : dims;
    await same(
      rewrite("vae", vaeFile, (name) => name, shape),
      "vae",
    );
  });

  test("text without text_model., as transformers 5 writes it", async () => {
    await same(
      rewrite("text_encoder", "text_encoder/model.safetensors", (name) => name.replace("text_model.", "")),
      "text_encoder",
    );
  });

  test("position ids and the other half of CLIP are ignored, and listed", async () => {
    const { textEncoder } = await openTiny((files) => {
      const more = [
        {
          name: "text_model.embeddings.position_ids",
          dtype: "I64" as const,
          shape: [1, 77],
          data: new Uint8Array(77 * 8),
        },
        tensorOf("text_projection.weight", [12, 12]),
        tensorOf("vision_model.embeddings.class_embedding", [12]),
        tensorOf("logit_scale", []),
      ];
      files.set("text_encoder/model.safetensors", safetensors([...tensorsOf("text_encoder"), ...more]));
    });
    expect([...textEncoder!.ignored].sort()).toEqual([
      "logit_scale",
      "text_model.embeddings.position_ids",
      "text_projection.weight",
      "vision_model.embeddings.class_embedding",
    ]);
  });

  test("an AutoencoderTiny", async () => {
    const config = {
      _class_name: "AutoencoderTiny",
      encoder_block_out_channels: [4, 4],
      decoder_block_out_channels: [4, 4],
      num_encoder_blocks: [1, 1],
      num_decoder_blocks: [1, 1],
    };
    const { vae } = await openTiny((files) => {
      files.set("vae/config.json", json(config));
      files.set(vaeFile, safetensors(tensorsOf("vae", config)));
    });
    expect(needTensor(vae!, "decoder.layers.6.weight", [3, 4, 3, 3]).dtype).toBe("F16");
    expect(needTensor(vae!, "encoder.layers.2.weight", [4, 4, 3, 3]).dtype).toBe("F16");
  });
});

describe("what does not fit", () => {
  const changed =
    (change: (all: ReturnType<typeof tensorsOf>) => ReturnType<typeof tensorsOf>): Change =>
    (files) =>
      void files.set(unetFile, safetensors(change(tensorsOf("unet"))));

  test("missing tensors are counted, the first few named", async () => {
    const opening = openTiny(changed((all) => all.filter(({ name }) => !name.startsWith("mid_block.resnets.0."))));
    await expect(opening).rejects.toThrow(FileError);
    await expect(opening).rejects.toThrow(
      /tiny: unet\/diffusion.*: the unet does not fit tiny: unet\/config\.json .*10 tensors missing \('mid_block\.resnets\.0\.norm1\.weight', .* and 6 more\)/,
    );
  });

  test("unexpected tensors, shapes and dtypes are named with both shapes", async () => {
    const opening = openTiny(
      changed((all) => [
        ...all.filter(({ name }) => name !== "conv_in.weight" && name !== "conv_in.bias"),
        tensorOf("conv_in.weight", [8, 9, 3, 3]),
        tensorOf("conv_in.bias", [8], "F8_E4M3"),
        tensorOf("controller.weight", [3]),
      ]),
    );
    await expect(opening).rejects.toThrow(/1 tensor unexpected \('controller\.weight'\)/);
    await expect(opening).rejects.toThrow(
      /2 tensors of another shape or dtype \('conv_in\.weight: \[8, 9, 3, 3\], the config wants \[8, 4, 3, 3\]', 'conv_in\.bias: dtype F8_E4M3/,
    );
  });

  test("tolerantly, they are listed in the component", async () => {
    const { unet } = await openTiny(
      changed((all) => [...all.filter(({ name }) => name !== "conv_in.bias"), tensorOf("extra", [1])]),
      { tolerant: true },
    );
    expect(unet).toMatchObject({ missing: ["conv_in.bias"], unexpected: ["extra"], misfits: [] });
  });

  test("a second name for one tensor is unexpected", async () => {
    const both: Change = (files) =>
      files.set(
        "text_encoder/model.safetensors",
        safetensors([...tensorsOf("text_encoder"), tensorOf("final_layer_norm.bias", [12])]),
      );
    await expect(openTiny(both)).rejects.toThrow(/1 tensor unexpected/);
  });

  test.each<[string, Change, RegExp]>([
    [
      "a listed component without config",
      (files) => void files.delete("vae/config.json"),
      /model_index\.json lists vae, but vae\/config\.json is missing/,
    ],
    [
      "a config that is not JSON",
      (files) => void files.set("unet/config.json", bytesSource("c", new TextEncoder().encode("{a}"))),
      /unet\/config\.json is not JSON/,
    ],
    [
      "a config that is a web page",
      (files) => void files.set("unet/config.json", bytesSource("c", new TextEncoder().encode("<html>"))),
      /not JSON[\s\S]*hint: .*web page/,
    ],
    ["a config that is a list", (files) => void files.set("unet/config.json", json([1])), /holds \[1\], a JSON object/],
    [
      "a config that is not UTF-8",
      (files) => void files.set("unet/config.json", bytesSource("c", Uint8Array.of(0x7b, 0xff))),
      /not UTF-8/,
    ],
    [
      "SDXL by its pipeline",
      (files) =>
        void files.set(
          "model_index.json",
          json({ _class_name: "StableDiffusionXLPipeline", text_encoder_2: ["transformers", "x"] }),
        ),
      /'StableDiffusionXLPipeline' \(it has a text_encoder_2\)/,
    ],
    [
      "another family by its pipeline",
      (files) =>
        void files.set("model_index.json", json({ _class_name: "FluxPipeline", transformer: ["diffusers", "x"] })),
      /'FluxPipeline' \(it has a transformer\)/,
    ],
    [
      "SDXL by its UNet",
      (files) => void files.set("unet/config.json", json({ ...tinyConfigs.unet, addition_embed_type: "text_time" })),
      /is of SDXL/,
    ],
    [
      "inpainting",
      (files) => void files.set("unet/config.json", json({ ...tinyConfigs.unet, in_channels: 9 })),
      /takes 9 channels and gives 4: an inpainting/,
    ],
    [
      "another text encoder",
      (files) =>
        void files.set("text_encoder/config.json", json({ architectures: ["RobertaSeriesModelWithTransformation"] })),
      /RobertaSeries.* is not supported/,
    ],
    ["damaged weights", (files) => void files.set(unetFile, bytesSource("damaged", fill("x", 5000))), /damaged/],
    [
      "nothing",
      (files) => files.clear(),
      /tiny is no model folder: it has neither model_index\.json nor unet\/config\.json/,
    ],
    [
      "a ControlNet's folder",
      (files) => (files.clear(), void files.set("config.json", json({ _class_name: "ControlNetModel" }))),
      /of another kind of model \('"ControlNetModel"'|of another kind of model \("ControlNetModel"\)/,
    ],
  ])("%s", async (_, change, message) => {
    const opening = openTiny(change);
    await expect(opening).rejects.toThrow(FileError);
    await expect(opening).rejects.toThrow(message);
  });
});

describe("parts", () => {
  test("only the components asked for are looked at", async () => {
    const checkpoint = await openTiny((files) => files.delete(vaeFile), { components: ["unet"] });
    expect(checkpoint.unet).toBeDefined();
    expect(checkpoint.vae ?? checkpoint.textEncoder).toBeUndefined();
    expect(() => needComponent(checkpoint, "vae")).toThrow(/tiny has no vae/);
  });

  test("a folder without model_index.json has what it has", async () => {
    const checkpoint = await openTiny((files) => {
      for (const path of [...files.keys()]) if (!path.startsWith("unet/")) files.delete(path);
    });
    expect(checkpoint.unet!.tensors.size).toBe(tensorsOf("unet").length);
    expect(checkpoint.tokenizer).toBeUndefined();
    expect(() => needScheduler(checkpoint)).toThrow(/no scheduler\/scheduler_config\.json/);
  });

  test.each(parts)("the folder of a %s alone", async (part) => {
    const files = new Map<string, ByteSource>([
      ["config.json", json(tinyConfigs[part])],
      [`${weightsStem[part]}.safetensors`, safetensors(tensorsOf(part))],
    ]);
    const component = needComponent(await openCheckpoint(folderOf(files)), part);
    expect(component.tensors.size).toBe(tensorsOf(part).length);
    const others = parts.filter((other) => other !== part);
    await expect(openCheckpoint(folderOf(files), { components: others })).rejects.toThrow(/is no model folder/);
  });

  test("a tokenizer.json is read where there are no merges", async () => {
    const { tokenizer } = await openTiny((files) => {
      for (const path of [...files.keys()]) if (path.startsWith("tokenizer/")) files.delete(path);
      files.set("tokenizer/tokenizer.json", json({ model: {} }));
      files.set("tokenizer/tokenizer_config.json", json({ pad_token: "!" }));
    });
    expect(tokenizer).toEqual({ tokenizerJson: { model: {} }, tokenizerConfig: { pad_token: "!" } });
  });
});
