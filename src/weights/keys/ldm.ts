import { FileError } from "../../errors.ts";
import type { ComponentName } from "../component.ts";
import { readConfig, type Config } from "../config.ts";
import type { TensorEntry } from "../safetensors.ts";
import { unetLayout } from "./expect-unet.ts";
import { ldmUnetKey, ldmVaeKey, openClipKey, type LdmKey } from "./ldm-names.ts";

/** How the tensors of one component are found in a single file. */
export interface LdmLookup {
  /** The tensor of a diffusers name. */
  readonly find: (name: string) => TensorEntry | undefined;
  /** The key under which it is looked for, for messages. */
  readonly keyOf: (name: string) => string;
  /** Keys that have been found so far. */
  readonly found: ReadonlySet<string>;
  /** Keys of this component that the model does without. */
  readonly isDropped: (key: string) => boolean;
}

type Tensors = ReadonlyMap<string, TensorEntry>;

const unetPrefix = "model.diffusion_model.";
const emaPrefix = "model_ema.";
const hfTextPrefix = "cond_stage_model.transformer.";
const openClipPrefix = "cond_stage_model.model.";

/** A file is taken to have averaged weights from this many keys on; merges leave stray ones. */
const emaFrom = 100;

/** Which component a file's key belongs to. Schedules, averages and strays are counted to the UNet. */
export function componentOfKey(key: string): ComponentName {
  if (/^(first_stage_model|vae)\./.test(key)) return "vae";
  return key.startsWith("cond_stage_model.") ? "text_encoder" : "unet";
}

/** Keys that single files carry and nobody needs: the schedule's tables, position numbers, averages, LoRA leftovers. */
export function isIgnoredLdm(key: string): boolean {
  return (
    /^(alphas_cumprod(_prev)?|betas|logvar|(sqrt|log|posterior)_\w+)$/.test(key) ||
    /(^|\.)position_ids$/.test(key) ||
    /^(cond_stage_model\.(\w+\.)*)?(logit_scale|text_projection(\.weight)?)$/.test(key) ||
    key.startsWith("lora_") ||
    key.startsWith(emaPrefix)
  );
}

/** The way from a component's diffusers names to a single file's tensors.
 *  @throws {FileError} averaged weights asked for and absent */
export function ldmLookup(
  component: ComponentName,
  config: Config,
  configFile: string,
  tensors: Tensors,
  { ema, file }: { ema: boolean; file: string },
): LdmLookup {
  switch (component) {
    case "unet":
      return unetLookup(config, configFile, tensors, ema, file);
    case "vae":
      return vaeLookup(config, configFile, tensors);
    case "text_encoder":
      return textLookup(config, configFile, tensors);
  }
}

function unetLookup(config: Config, configFile: string, tensors: Tensors, ema: boolean, file: string): LdmLookup {
  const layout = unetLayout(config, configFile);
  if (!ema) return lookup(tensors, (name) => prefixed(unetPrefix, ldmUnetKey(name, layout)));
  const averaged = [...tensors.keys()].filter((key) => key.startsWith(emaPrefix)).length;
  if (averaged <= emaFrom) {
    throw new FileError(
      `${file}: averaged (EMA) weights asked for, it has ${averaged} '${emaPrefix}' keys`,
      "leave the option out: files without them hold one set of weights",
    );
  }
  // The averages' names are those of the weights with the dots taken out. The trained weights are then not needed.
  const averagedKey = (name: string): string =>
    emaPrefix + `diffusion_model.${ldmUnetKey(name, layout).key}`.replaceAll(".", "");
  return lookup(
    tensors,
    (name) => ({ key: averagedKey(name) }),
    (key) => key.startsWith(unetPrefix),
  );
}

function vaeLookup(config: Config, configFile: string, tensors: Tensors): LdmLookup {
  const levels = readConfig(config, configFile).counts("block_out_channels", [64]).length;
  const prefix = hasPrefix(tensors, "first_stage_model.") ? "first_stage_model." : "vae.";
  return lookup(tensors, (name) => prefixed(prefix, ldmVaeKey(name, levels)));
}

function textLookup(config: Config, configFile: string, tensors: Tensors): LdmLookup {
  if (!hasPrefix(tensors, openClipPrefix)) {
    // Some merges lack `text_model.`, a few in some keys only.
    return lookup(tensors, (name) => {
      const key = hfTextPrefix + name;
      const short = hfTextPrefix + name.replace(/^text_model\./, "");
      return { key: !tensors.has(key) && tensors.has(short) ? short : key };
    });
  }
  // SD2 takes the output of the last layer but one, so that diffusers' config has one layer fewer than the file.
  const dropped = `${openClipPrefix}transformer.resblocks.${readConfig(config, configFile).count("num_hidden_layers", 12)}.`;
  return lookup(
    tensors,
    (name) => prefixed(openClipPrefix, openClipKey(name)),
    (key) => key.startsWith(dropped),
  );
}

function hasPrefix(tensors: Tensors, prefix: string): boolean {
  return [...tensors.keys()].some((key) => key.startsWith(prefix));
}

function prefixed(prefix: string, { key, ...rest }: LdmKey): LdmKey {
  return { key: prefix + key, ...rest };
}

function lookup(
  tensors: Tensors,
  locate: (name: string) => LdmKey,
  isDropped: (key: string) => boolean = () => false,
): LdmLookup {
  const found = new Set<string>();
  return {
    find(name) {
      const { key, third } = locate(name);
      const entry = tensors.get(key);
      if (entry === undefined) return undefined;
      found.add(key);
      return third === undefined ? entry : thirdOf(entry, third);
    },
    keyOf: (name) => locate(name).key,
    found,
    isDropped,
  };
}

/** Rows of the q, k or v part of a [3D, …] matrix or vector: a third of its bytes. */
function thirdOf(entry: TensorEntry, third: 0 | 1 | 2): TensorEntry {
  const [rows = 0, ...rest] = entry.shape;
  // Left whole it has a shape that does not fit, and is reported as such.
  if (rows === 0 || rows % 3 !== 0) return entry;
  const bytes = (entry.end - entry.begin) / 3;
  const begin = entry.begin + third * bytes;
  return { ...entry, shape: [rows / 3, ...rest], begin, end: begin + bytes };
}
