import { describe, expect, test } from "vitest";
import { FileError } from "../../../src/errors.ts";
import { needTensor } from "../../../src/weights/checkpoint.ts";
import { json, openTiny, safetensors, tensorsOf, tinyConfigs, type Change } from "./fake-checkpoints.ts";
import type { ByteSource } from "../../../src/weights/source.ts";

const unetFile = "unet/diffusion_pytorch_model.safetensors";
const move = (files: Map<string, ByteSource>, from: string, to: string): void => {
  files.set(to, files.get(from)!);
  files.delete(from);
};

describe("which file", () => {
  const marked = (mark: string): string => `unet/diffusion_pytorch_model.${mark}.safetensors`;
  // Which file was taken shows in the dtype.
  const add = (files: Map<string, ByteSource>, path: string, dtype: "F32" | "BF16"): Map<string, ByteSource> =>
    files.set(path, safetensors(tensorsOf("unet", tinyConfigs.unet, dtype)));
  const dtypeOf = async (change: Change, variant?: string): Promise<string> =>
    needTensor((await openTiny(change, variant === undefined ? {} : { variant })).unet!, "conv_in.weight").dtype;

  test("fp16 before the plain one, the plain one before non_ema", async () => {
    expect(await dtypeOf((files) => add(files, marked("fp16"), "BF16"))).toBe("BF16");
    expect(await dtypeOf((files) => add(files, marked("non_ema"), "BF16"))).toBe("F16");
    expect(
      await dtypeOf((files) => {
        files.delete(unetFile);
        add(files, marked("non_ema"), "BF16");
      }),
    ).toBe("BF16");
  });

  test("the one asked for; components that lack it take their own", async () => {
    const all: Change = (files) => void add(add(files, marked("fp16"), "BF16"), marked("non_ema"), "F32");
    expect(await dtypeOf(all, "non_ema")).toBe("F32");
    expect(await dtypeOf(all, "")).toBe("F16");
    expect(await dtypeOf(all, "fp16")).toBe("BF16");
  });

  test("one that no component has is refused, with what there is", async () => {
    await expect(openTiny(undefined, { variant: "fp32" })).rejects.toThrow(
      /no weights marked 'fp32'[\s\S]*files without a mark/,
    );
  });

  test("only pickles: refused, never opened", async () => {
    for (const [from, to] of [
      [unetFile, "unet/diffusion_pytorch_model.bin"],
      [unetFile, "unet/diffusion_pytorch_model.fp16.bin"],
      ["text_encoder/model.safetensors", "text_encoder/pytorch_model.bin"],
    ] as const) {
      const opening = openTiny((files) => move(files, from, to));
      await expect(opening).rejects.toThrow(FileError);
      await expect(opening).rejects.toThrow(/is a Python pickle[\s\S]*hint: a pickle can run any code/);
    }
  });

  test("none at all", async () => {
    await expect(openTiny((files) => files.delete(unetFile))).rejects.toThrow(
      /tiny: no weights unet\/diffusion_pytorch_model\.safetensors/,
    );
  });
});

describe("shards", () => {
  const all = tensorsOf("unet");
  const shard = (i: number): string => `diffusion_pytorch_model-0000${i + 1}-of-00002.safetensors`;
  const placed = (i: number) => all.filter((_, k) => k % 2 === i);
  const weightMap = (): Record<string, string> => Object.fromEntries(all.map(({ name }, k) => [name, shard(k % 2)]));
  const sharded =
    (index: Record<string, unknown>, name = "diffusion_pytorch_model.safetensors.index.json"): Change =>
    (files) => {
      files.delete(unetFile);
      for (const i of [0, 1]) files.set(`unet/${shard(i)}`, safetensors(placed(i)));
      files.set(`unet/${name}`, json(index));
    };

  test.each(["safetensors.index.json", "safetensors.index.fp16.json", "fp16.safetensors.index.json"])(
    "by %s",
    async (index) => {
      const { unet } = await openTiny(sharded({ weight_map: weightMap() }, `diffusion_pytorch_model.${index}`));
      expect(unet!.files).toHaveLength(2);
      for (const { name, data } of all) {
        const entry = needTensor(unet!, name);
        expect(await entry.source.read(entry.begin, entry.end)).toEqual(data);
      }
    },
  );

  test.each<[string, Record<string, unknown>, RegExp]>([
    ["no weight_map", {}, /has no 'weight_map'/],
    [
      "a missing shard",
      { weight_map: { ...weightMap(), "conv_in.weight": "third.safetensors" } },
      /names unet\/third\.safetensors, which is missing/,
    ],
    [
      "a tensor elsewhere",
      { weight_map: { ...weightMap(), [all[0]!.name]: shard(1) } },
      /is in .*00001-of.*, the index puts it into .*00002-of/,
    ],
    ["a tensor that no shard has", { weight_map: { ...weightMap(), ghost: shard(0) } }, /its files lack 1: 'ghost'/],
    [
      "a tensor that it does not list",
      { weight_map: Object.fromEntries(Object.entries(weightMap()).slice(1)) },
      /the index does not list it/,
    ],
    ["a way out of the folder", { weight_map: { a: "../../../secret.safetensors" } }, /no path within the folder/],
    ["a file of another kind", { weight_map: { a: "model.bin" } }, /'model\.bin', which is no \.safetensors/],
    ["a file that is no text", { weight_map: { a: 5 } }, /'5', which is no \.safetensors/],
    [
      "thousands of files",
      { weight_map: Object.fromEntries(Array.from({ length: 1001 }, (_, i) => [`t${i}`, `${i}.safetensors`])) },
      /names 1001 files/,
    ],
  ])("%s", async (_, index, message) => {
    const opening = openTiny(sharded(index));
    await expect(opening).rejects.toThrow(FileError);
    await expect(opening).rejects.toThrow(message);
  });
});
