import type { Checkpoint, OpenOptions } from "./checkpoint.ts";
import { checkComponent, fitTensors, type Component, type ComponentName } from "./component.ts";
import type { Config } from "./config.ts";
import { componentNames, readTokenizer } from "./diffusers.ts";
import { readJson, type Folder } from "./folder.ts";
import { familyConfigs } from "./keys/default-configs.ts";
import { expectedTensors } from "./keys/expected.ts";
import { detectFamily, needFamily } from "./keys/family.ts";
import { componentOfKey, isIgnoredLdm, ldmLookup } from "./keys/ldm.ts";
import { readSafetensors, type TensorEntry } from "./safetensors.ts";
import type { ByteSource } from "./source.ts";

/** A checkpoint in one file, in the layout of the original latent-diffusion code, with its tensors under diffusers' names.
 *  A part that the file has nothing of, such as a VAE that was left out, is absent.
 *  @throws {FileError} another family, incomplete, or damaged */
export async function openSingleFile(source: ByteSource, options: OpenOptions): Promise<Checkpoint> {
  const { tensors, metadata } = await readSafetensors(source, options.signal);
  const family = needFamily(tensors, source.name);
  const defaults = familyConfigs[family];
  const builtIn = { unet: defaults.unet, vae: defaults.vae, text_encoder: defaults.textEncoder };
  const keysOf = keysByComponent(tensors);

  const components = new Map<ComponentName, Component>();
  for (const name of componentNames) {
    if (options.components?.includes(name) === false) continue;
    if (!keysOf[name].some((key) => !isIgnoredLdm(key))) continue;
    const given = await configFrom(options.config, name, options.signal);
    const [config, configFile] = given ?? [builtIn[name], `the config of ${family === "sd1" ? "SD 1.x" : "SD 2.x"}`];
    components.set(name, mapComponent(name, config, configFile, tensors, keysOf[name], source.name, options));
  }
  const [unet, vae, textEncoder] = componentNames.map((name) => components.get(name));
  const { config: folder, signal } = options;
  const scheduler = folder && (await readJson(folder, "scheduler/scheduler_config.json", signal));
  const tokenizer = folder && options.tokenizer !== false ? await readTokenizer(folder, signal) : undefined;
  const prediction = options.predictionType ?? predictionOf(metadata);
  return {
    name: source.name,
    kind: "single-file",
    family: detectFamily(tensors).label,
    ...(unet === undefined ? {} : { unet }),
    ...(vae === undefined ? {} : { vae }),
    ...(textEncoder === undefined ? {} : { textEncoder }),
    scheduler: scheduler ?? {
      ...defaults.scheduler,
      ...(prediction === undefined ? {} : { prediction_type: prediction }),
    },
    tokenizer: tokenizer ?? { specialTokensMap: defaults.specialTokensMap },
    metadata,
  };
}

function keysByComponent(tensors: ReadonlyMap<string, TensorEntry>): Record<ComponentName, string[]> {
  const keys: Record<ComponentName, string[]> = { unet: [], vae: [], text_encoder: [] };
  for (const key of tensors.keys()) keys[componentOfKey(key)].push(key);
  return keys;
}

async function configFrom(
  folder: Folder | undefined,
  name: ComponentName,
  signal: AbortSignal | undefined,
): Promise<[Config, string] | undefined> {
  const path = `${name}/config.json`;
  const config = folder && (await readJson(folder, path, signal));
  return config && [config, `${folder.name}: ${path}`];
}

function mapComponent(
  name: ComponentName,
  config: Config,
  configFile: string,
  tensors: ReadonlyMap<string, TensorEntry>,
  keys: readonly string[],
  file: string,
  options: OpenOptions,
): Component {
  const expected = expectedTensors(name, config, configFile);
  const lookup = ldmLookup(name, config, configFile, tensors, { ema: options.ema === true, file });
  const fit = fitTensors(expected, lookup.find, lookup.keyOf);
  const left = keys.filter((key) => !lookup.found.has(key));
  const needless = (key: string): boolean => isIgnoredLdm(key) || lookup.isDropped(key);
  const component: Component = {
    name,
    config,
    configFile,
    files: [file],
    ...fit,
    ignored: left.filter(needless),
    unexpected: left.filter((key) => !needless(key)),
  };
  if (options.tolerant !== true) checkComponent(component);
  return component;
}

/** What the file's own description says that it predicts.   @see Stability AI's ModelSpec, `modelspec.prediction_type` */
function predictionOf(metadata: ReadonlyMap<string, string>): "epsilon" | "v_prediction" | undefined {
  const said = metadata.get("modelspec.prediction_type");
  if (said === "epsilon") return "epsilon";
  return said === "v" || said === "v_prediction" ? "v_prediction" : undefined;
}
