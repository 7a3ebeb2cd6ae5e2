import { FileError } from "../errors.ts";
import { readJson, type Folder } from "./folder.ts";
import { readSafetensors, type Safetensors, type TensorEntry } from "./safetensors.ts";
import { firstFew, quote } from "./show.ts";

/** Weights of one component: one file or several shards. */
export interface WeightFiles {
  readonly files: readonly string[];
  readonly tensors: ReadonlyMap<string, TensorEntry>;
  readonly metadata: ReadonlyMap<string, string>;
  /** The mark in the file's name; "" for none. */
  readonly variant: string;
}

/** Without a wish: the half-size file first; the weights before averaging only if there is nothing else. */
const variantOrder = ["fp16", "", "bf16", "non_ema"];

/** Most files that an index may name. */
const maxShards = 1000;

/** The safetensors of a component, in `dir` ("" for the folder itself), whose files are called `stem`.
 *  @throws {FileError} none, only pickles, or shards that do not agree with their index */
export async function findWeights(
  folder: Folder,
  dir: string,
  stem: string,
  variant: string | undefined,
  signal?: AbortSignal,
): Promise<WeightFiles> {
  const inDir = (file: string): string => (dir === "" ? file : `${dir}/${file}`);
  const wishes = [...new Set(variant === undefined ? variantOrder : [variant, ...variantOrder])];
  const marked = (wish: string): string => (wish === "" ? stem : `${stem}.${wish}`);
  for (const wish of wishes) {
    const path = inDir(`${marked(wish)}.safetensors`);
    const source = await folder.file(path, signal);
    if (source === undefined) continue;
    const { tensors, metadata } = await readSafetensors(source, signal);
    return { files: [path], tensors, metadata, variant: wish };
  }
  for (const wish of wishes) {
    // diffusers has written the mark in either place.
    const indexes =
      wish === "" ? ["safetensors.index.json"] : [`safetensors.index.${wish}.json`, `${wish}.safetensors.index.json`];
    for (const index of indexes) {
      const path = inDir(`${stem}.${index}`);
      const json = await readJson(folder, path, signal);
      if (json !== undefined) return { ...(await readShards(folder, dir, path, json, signal)), variant: wish };
    }
  }
  for (const pickle of [`${stem}.bin`, `${stem}.fp16.bin`, "pytorch_model.bin", "pytorch_model.fp16.bin"]) {
    if ((await folder.file(inDir(pickle), signal)) === undefined) continue;
    throw new FileError(
      `${folder.name}: ${inDir(pickle)} is a Python pickle, and there is no ${inDir(stem)}.safetensors`,
      "a pickle can run any code when it is opened, so it is never read: use the .safetensors file of the same model",
    );
  }
  throw new FileError(
    `${folder.name}: no weights ${inDir(stem)}.safetensors, nor with ${wishes.filter(Boolean).join(", ")} in the name, nor shards`,
    "the download may be incomplete",
  );
}

async function readShards(
  folder: Folder,
  dir: string,
  indexPath: string,
  index: Record<string, unknown>,
  signal: AbortSignal | undefined,
): Promise<Omit<WeightFiles, "variant">> {
  const where = `${folder.name}: ${indexPath}`;
  const weightMap = index.weight_map;
  if (typeof weightMap !== "object" || weightMap === null) throw new FileError(`${where} has no 'weight_map'`);
  const placed = new Map<string, string>();
  for (const [tensor, file] of Object.entries(weightMap)) {
    if (typeof file !== "string" || !file.endsWith(".safetensors")) {
      throw new FileError(`${where} puts ${quote(tensor)} into ${quote(String(file))}, which is no .safetensors file`);
    }
    placed.set(tensor, file);
  }
  const names = [...new Set(placed.values())].sort();
  if (names.length > maxShards)
    throw new FileError(`${where} names ${names.length} files, at most ${maxShards} are read`);
  const shards = await Promise.all(
    names.map((name) => readShard(folder, dir === "" ? name : `${dir}/${name}`, where, signal)),
  );

  const tensors = new Map<string, TensorEntry>();
  shards.forEach((shard, i) => {
    for (const [tensor, entry] of shard.tensors) {
      if (placed.get(tensor) !== names[i]) {
        const said = placed.get(tensor);
        throw new FileError(
          `${where}: ${quote(tensor)} is in ${names[i]}, the index ${said === undefined ? "does not list it" : `puts it into ${said}`}`,
        );
      }
      tensors.set(tensor, entry);
    }
  });
  const absent = [...placed.keys()].filter((tensor) => !tensors.has(tensor));
  if (absent.length > 0) {
    throw new FileError(`${where} lists ${placed.size} tensors, its files lack ${absent.length}: ${firstFew(absent)}`);
  }
  return {
    files: names.map((name) => (dir === "" ? name : `${dir}/${name}`)),
    tensors,
    metadata: shards[0]?.metadata ?? new Map<string, string>(),
  };
}

async function readShard(
  folder: Folder,
  path: string,
  index: string,
  signal: AbortSignal | undefined,
): Promise<Safetensors> {
  const source = await folder.file(path, signal);
  if (source === undefined)
    throw new FileError(`${index} names ${path}, which is missing`, "the download is incomplete");
  return readSafetensors(source, signal);
}
