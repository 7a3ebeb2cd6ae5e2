import { FileError } from "../errors.ts";
import type { Checkpoint, OpenOptions, TokenizerFiles } from "./checkpoint.ts";
import { checkComponent, fitTensors, type Component, type ComponentName } from "./component.ts";
import type { Config } from "./config.ts";
import { readJson, readText, type Folder } from "./folder.ts";
import { expectedTensors } from "./keys/expected.ts";
import { isIgnored, modernName } from "./keys/diffusers-names.ts";
import type { TensorEntry } from "./safetensors.ts";
import { printable, quote } from "./show.ts";
import { findWeights } from "./weight-files.ts";

export const componentNames: readonly ComponentName[] = ["unet", "vae", "text_encoder"];

/** A checkpoint laid out as diffusers writes it: a subfolder a component, each with `config.json` and safetensors. The
 *  folder of a single component is taken too.
 *  @throws {FileError} no such layout, another family, incomplete or damaged files */
export async function openDiffusers(folder: Folder, options: OpenOptions): Promise<Checkpoint> {
  const { signal } = options;
  const index = await readJson(folder, "model_index.json", signal);
  if (index !== undefined) refuseOtherPipelines(index, folder.name);
  const wanted = componentNames.filter((name) => options.components?.includes(name) ?? true);
  const opened = await Promise.all(wanted.map((name) => openComponent(folder, name, name, index?.[name], options)));
  let components = opened.filter((component) => component !== undefined);
  if (components.length === 0 && index === undefined) components = [await openBare(folder, options)];
  if (components.length === 0) {
    throw new FileError(`${folder.name} has none of ${wanted.join(", ")}`, "check the path or the address");
  }
  checkVariant(components, options.variant, folder.name);

  const part = (name: ComponentName): Component | undefined =>
    components.find(({ component }) => component.name === name)?.component;
  const [unet, vae, textEncoder] = [part("unet"), part("vae"), part("text_encoder")];
  const scheduler = await readJson(folder, "scheduler/scheduler_config.json", signal);
  const tokenizer = options.tokenizer === false ? undefined : await readTokenizer(folder, signal);
  return {
    name: folder.name,
    kind: "diffusers",
    family: familyOf(unet, textEncoder),
    ...(unet === undefined ? {} : { unet }),
    ...(vae === undefined ? {} : { vae }),
    ...(textEncoder === undefined ? {} : { textEncoder }),
    ...(scheduler === undefined ? {} : { scheduler }),
    ...(tokenizer === undefined ? {} : { tokenizer }),
    metadata: new Map(components.flatMap(({ metadata }) => [...metadata])),
  };
}

interface Opened {
  readonly component: Component;
  readonly variant: string;
  readonly metadata: ReadonlyMap<string, string>;
}

async function openComponent(
  folder: Folder,
  name: ComponentName,
  dir: string,
  listed: unknown,
  options: OpenOptions,
): Promise<Opened | undefined> {
  const { signal } = options;
  const configPath = dir === "" ? "config.json" : `${dir}/config.json`;
  const config = await readJson(folder, configPath, signal);
  if (config === undefined) {
    // model_index.json lists [library, class], with nulls for what the pipeline does without.
    if (!Array.isArray(listed) || listed[0] === null) return undefined;
    throw new FileError(
      `${folder.name}: model_index.json lists ${name}, but ${configPath} is missing`,
      "the download is incomplete",
    );
  }
  const configFile = `${folder.name}: ${configPath}`;
  if (name === "unet") refuseOtherUnets(config, configFile);
  const expected = expectedTensors(name, config, configFile);
  const stem = name === "text_encoder" ? "model" : "diffusion_pytorch_model";
  const weights = await findWeights(folder, dir, stem, options.variant, signal);

  const byName = new Map<string, TensorEntry>();
  const unexpected: string[] = [];
  const ignored: string[] = [];
  for (const [key, entry] of weights.tensors) {
    const tensor = modernName(name, key);
    if (expected.has(tensor) && !byName.has(tensor)) byName.set(tensor, entry);
    else (isIgnored(name, tensor) ? ignored : unexpected).push(key);
  }
  const fit = fitTensors(expected, (tensor) => byName.get(tensor));
  const files = weights.files.map((file) => `${folder.name}: ${file}`);
  const component: Component = { name, config, configFile, files, ...fit, ignored, unexpected };
  if (options.tolerant !== true) checkComponent(component);
  return { component, variant: weights.variant, metadata: weights.metadata };
}

/** A folder that holds one component and no pipeline, as VAEs are often given. */
async function openBare(folder: Folder, options: OpenOptions): Promise<Opened> {
  const config = await readJson(folder, "config.json", options.signal);
  const name = config === undefined ? undefined : componentOf(config);
  if (config !== undefined && name === undefined) {
    const kind = JSON.stringify(config._class_name ?? config.model_type ?? null);
    throw new FileError(
      `${folder.name}: config.json is of another kind of model (${printable(kind)})`,
      "give a Stable Diffusion checkpoint",
    );
  }
  if (name === undefined || options.components?.includes(name) === false) {
    const wanted = (options.components ?? componentNames).map((c) => `${c}/config.json`).join(", ");
    throw new FileError(
      `${folder.name} is no model folder: it has neither model_index.json nor ${wanted}`,
      "give the folder that holds these, or a single .safetensors file",
    );
  }
  return (await openComponent(folder, name, "", undefined, options))!;
}

function componentOf({ _class_name, architectures, model_type }: Config): ComponentName | undefined {
  if (_class_name === "UNet2DConditionModel") return "unet";
  if (_class_name === "AutoencoderKL" || _class_name === "AutoencoderTiny") return "vae";
  const clip =
    model_type === "clip_text_model" || (Array.isArray(architectures) && architectures.includes("CLIPTextModel"));
  return clip ? "text_encoder" : undefined;
}

function refuseOtherPipelines(index: Config, name: string): void {
  const kind = typeof index._class_name === "string" ? index._class_name : "a pipeline without a name";
  const listed = (part: string): boolean => Array.isArray(index[part]) && index[part][0] !== null;
  const other = ["transformer", "text_encoder_2", "prior", "controlnet", "image_normalizer"].find(listed);
  if (other === undefined) return;
  throw new FileError(
    `${name} holds ${quote(kind)} (it has a ${other}), not a checkpoint that is run here`,
    "give a Stable Diffusion 1.x or 2.x checkpoint",
  );
}

function refuseOtherUnets(config: Config, file: string): void {
  if (config.addition_embed_type === "text_time") {
    throw new FileError(
      `${file} is of SDXL, not a checkpoint that is run here`,
      "give a Stable Diffusion 1.x or 2.x checkpoint",
    );
  }
  const [into, out] = [config.in_channels ?? 4, config.out_channels ?? 4];
  if (into !== out) {
    throw new FileError(
      `${file}: the UNet takes ${JSON.stringify(into)} channels and gives ${JSON.stringify(out)}: an inpainting, editing, depth or upscaling model`,
      "only text-to-image checkpoints are run",
    );
  }
}

/** A wish for files of one mark that no component has is a mistake; one component without it is not. */
function checkVariant(opened: readonly Opened[], variant: string | undefined, name: string): void {
  if (variant === undefined || variant === "" || opened.some((o) => o.variant === variant)) return;
  const found = [...new Set(opened.map((o) => (o.variant === "" ? "files without a mark" : quote(o.variant))))];
  throw new FileError(
    `${name} has no weights marked ${quote(variant)}`,
    `it has ${found.join(" and ")}: choose one of these`,
  );
}

/** SD 1.x or 2.x where the widths are theirs. */
function familyOf(unet: Component | undefined, text: Component | undefined): string {
  const width = unet?.config.cross_attention_dim ?? text?.config.hidden_size;
  if (width === 768) return "Stable Diffusion 1.x";
  if (width === 1024) return "Stable Diffusion 2.x";
  return "Stable Diffusion of its own size";
}

/** The files of `tokenizer/`, if there are any.
 *  @throws {FileError} JSON that is none */
export async function readTokenizer(folder: Folder, signal?: AbortSignal): Promise<TokenizerFiles | undefined> {
  const [vocab, specialTokensMap, tokenizerConfig, mergesFile] = await Promise.all([
    readJson(folder, "tokenizer/vocab.json", signal),
    readJson(folder, "tokenizer/special_tokens_map.json", signal),
    readJson(folder, "tokenizer/tokenizer_config.json", signal),
    folder.file("tokenizer/merges.txt", signal),
  ]);
  const merges = mergesFile === undefined ? undefined : await readText(mergesFile, signal);
  // Newer folders have everything in this one file.
  const tokenizerJson = merges === undefined ? await readJson(folder, "tokenizer/tokenizer.json", signal) : undefined;
  const files: TokenizerFiles = {
    ...(vocab === undefined ? {} : { vocab: vocab as Record<string, number> }),
    ...(merges === undefined ? {} : { merges }),
    ...(tokenizerJson === undefined ? {} : { tokenizerJson }),
    ...(specialTokensMap === undefined ? {} : { specialTokensMap }),
    ...(tokenizerConfig === undefined ? {} : { tokenizerConfig }),
  };
  return Object.keys(files).length > 0 ? files : undefined;
}
