import { elementCount } from "../tensor.ts";
import { needScheduler, openCheckpoint, type Checkpoint, type OpenOptions } from "./checkpoint.ts";
import type { Component } from "./component.ts";
import { readConfig } from "./config.ts";
import type { Folder } from "./folder.ts";
import { detectFamily } from "./keys/family.ts";
import { readSafetensors, type Safetensors, type TensorEntry } from "./safetensors.ts";
import { count, firstFew, printable } from "./show.ts";
import type { ByteSource } from "./source.ts";

/** What can be said of a model without reading its weights. Plain data: it prints as JSON. */
export interface Inspection {
  readonly name: string;
  readonly kind: "diffusers" | "single-file" | "safetensors";
  readonly family: string;
  /** Whether this library runs it as it is. */
  readonly runnable: boolean;
  readonly parameters: number;
  readonly bytes: number;
  readonly components: readonly ComponentSummary[];
  /** Channels of the latents, and how many pixels a latent stands for along each side. */
  readonly latents?: { readonly channels: number; readonly factor: number };
  readonly predictionType?: string;
  /** What keeps it from running, or is odd about it. */
  readonly problems: readonly string[];
  /** Untrusted text from the file, cut and with control characters escaped. */
  readonly metadata: Readonly<Record<string, string>>;
}

export interface ComponentSummary {
  readonly name: string;
  readonly class?: string;
  readonly files: readonly string[];
  readonly tensors: number;
  readonly parameters: number;
  readonly bytes: number;
  /** Tensors of each dtype. */
  readonly dtypes: Readonly<Record<string, number>>;
  readonly missing: readonly string[];
  readonly unexpected: readonly string[];
  readonly misfits: readonly string[];
  /** How many keys are known and not needed. */
  readonly ignored: number;
}

const mostMetadata = 32;
const mostMetadataCharacters = 200;
const mostGroups = 12;

/** Looks a checkpoint over, or any other safetensors file, by its headers and configs alone.
 *  @throws {FileError} damaged, or a folder of a family that is not known here */
export async function inspect(location: Folder | ByteSource, options: OpenOptions = {}): Promise<Inspection> {
  if ("read" in location) {
    const file = await readSafetensors(location, options.signal);
    if (detectFamily(file.tensors).checkpoint === undefined) return inspectSafetensors(file);
  }
  return inspectCheckpoint(await openCheckpoint(location, { ...options, tolerant: true, tokenizer: false }));
}

/** The summary of an open checkpoint. */
export function inspectCheckpoint(checkpoint: Checkpoint): Inspection {
  const { name, kind, family, unet, vae, textEncoder, metadata } = checkpoint;
  const present = [unet, vae, textEncoder].filter((component) => component !== undefined);
  const components = present.map(summarise);
  const absent = Object.entries({ unet, vae, text_encoder: textEncoder })
    .filter(([, component]) => component === undefined)
    .map(([part]) => `no ${part}`);
  const latents = vae && latentsOf(vae);
  const wrong = components.flatMap((c) => [
    ...(c.missing.length > 0
      ? [`${c.name}: ${count(c.missing.length, "tensor")} missing: ${firstFew(c.missing)}`]
      : []),
    ...(c.unexpected.length > 0
      ? [`${c.name}: ${count(c.unexpected.length, "tensor")} unexpected: ${firstFew(c.unexpected)}`]
      : []),
    ...(c.misfits.length > 0 ? [`${c.name}: ${count(c.misfits.length, "tensor")} unfit: ${firstFew(c.misfits)}`] : []),
  ]);
  const inChannels = unet && readConfig(unet.config, unet.configFile).count("in_channels", 4);
  if (latents !== undefined && inChannels !== undefined && latents.channels !== inChannels) {
    wrong.push(`the vae has ${latents.channels} latent channels, the unet takes ${inChannels}`);
  }
  if (checkpoint.scheduler === undefined) absent.push("no scheduler/scheduler_config.json");
  return {
    name,
    kind,
    family,
    runnable: absent.length === 0 && wrong.length === 0,
    ...totals(components),
    components,
    ...(latents === undefined ? {} : { latents }),
    ...(checkpoint.scheduler === undefined ? {} : { predictionType: predictionOf(checkpoint) }),
    problems: [...absent, ...wrong],
    metadata: showMetadata(metadata),
  };
}

/** The summary of a safetensors file of any kind, its tensors grouped by the first part of their names. */
export function inspectSafetensors({ source, tensors, metadata }: Safetensors): Inspection {
  const { label, checkpoint } = detectFamily(tensors);
  const groups = new Map<string, TensorEntry[]>();
  for (const [name, entry] of tensors) {
    const prefix = /^(lora_(unet|te\d?)|[^.]*)/.exec(name)![0];
    const group = groups.has(prefix) || groups.size < mostGroups ? prefix : "(others)";
    const entries = groups.get(group);
    if (entries === undefined) groups.set(group, [entry]);
    else entries.push(entry);
  }
  const components = [...groups].map(([name, entries]): ComponentSummary => ({
    name: printable(name),
    files: [source.name],
    ...measure(entries),
    missing: [],
    unexpected: [],
    misfits: [],
    ignored: 0,
  }));
  return {
    name: source.name,
    kind: "safetensors",
    family: label,
    runnable: false,
    ...totals(components),
    components,
    problems:
      checkpoint === undefined ? [`${label === "unknown" ? "an unknown kind of file" : label}: not run here`] : [],
    metadata: showMetadata(metadata),
  };
}

/** The summary as lines for a terminal. */
export function showInspection(inspection: Inspection): string[] {
  const { name, kind, family, parameters, bytes, components, latents, predictionType, problems, metadata } = inspection;
  const lines = [
    `${printable(name, 300)}: ${family} (${kind})`,
    `${showCount(parameters)} parameters, ${showBytes(bytes)}${inspection.runnable ? "" : ", not runnable"}`,
  ];
  const width = Math.max(0, ...components.map((c) => c.name.length));
  for (const c of components) {
    const dtypes = Object.entries(c.dtypes).map(([dtype, n]) => `${dtype} ×${n}`);
    const parts = [
      count(c.tensors, "tensor"),
      `${showCount(c.parameters)} parameters`,
      showBytes(c.bytes),
      dtypes.join(" "),
      ...(c.class === undefined ? [] : [printable(c.class)]),
      ...(c.ignored > 0 ? [`${count(c.ignored, "key")} ignored`] : []),
    ];
    lines.push(`  ${c.name.padEnd(width)}  ${parts.join(", ")}`);
  }
  if (latents !== undefined) lines.push(`latents: ${latents.channels} channels, 1/${latents.factor} of the size`);
  if (predictionType !== undefined) lines.push(`predicts: ${printable(predictionType)}`);
  for (const problem of problems) lines.push(`problem: ${problem}`);
  for (const [key, value] of Object.entries(metadata)) lines.push(`metadata ${key}: ${value}`);
  return lines;
}

function summarise(component: Component): ComponentSummary {
  const { name, config, files, tensors, missing, unexpected, misfits, ignored } = component;
  const architectures: unknown[] = Array.isArray(config.architectures) ? config.architectures : [];
  const kind = config._class_name ?? architectures[0];
  return {
    name,
    ...(typeof kind === "string" ? { class: kind } : {}),
    files,
    ...measure([...tensors.values()]),
    missing,
    unexpected,
    misfits,
    ignored: ignored.length,
  };
}

function measure(entries: readonly TensorEntry[]) {
  const dtypes: Record<string, number> = {};
  for (const { dtype } of entries) dtypes[dtype] = (dtypes[dtype] ?? 0) + 1;
  return {
    tensors: entries.length,
    parameters: entries.reduce((n, { shape }) => n + elementCount(shape), 0),
    bytes: entries.reduce((n, { begin, end }) => n + end - begin, 0),
    dtypes,
  };
}

function totals(components: readonly ComponentSummary[]): { parameters: number; bytes: number } {
  return {
    parameters: components.reduce((n, c) => n + c.parameters, 0),
    bytes: components.reduce((n, c) => n + c.bytes, 0),
  };
}

function latentsOf({ config, configFile }: Component): { channels: number; factor: number } {
  const read = readConfig(config, configFile);
  const tiny = config._class_name === "AutoencoderTiny";
  const levels = read.counts(
    tiny ? "decoder_block_out_channels" : "block_out_channels",
    tiny ? [64, 64, 64, 64] : [64],
  );
  return { channels: read.count("latent_channels", 4), factor: 2 ** (levels.length - 1) };
}

/** `epsilon` is what schedulers take where their config does not say. */
function predictionOf(checkpoint: Checkpoint): string {
  const said = needScheduler(checkpoint).prediction_type;
  return typeof said === "string" ? said : "epsilon";
}

function showMetadata(metadata: ReadonlyMap<string, string>): Record<string, string> {
  const shown = [...metadata]
    .slice(0, mostMetadata)
    .map(([key, value]) => [printable(key), printable(value, mostMetadataCharacters)]);
  return Object.fromEntries(shown) as Record<string, string>;
}

function showCount(n: number): string {
  return n < 1e6 ? String(n) : n < 1e9 ? `${(n / 1e6).toFixed(1)} M` : `${(n / 1e9).toFixed(2)} G`;
}

function showBytes(n: number): string {
  return n < 1e3
    ? `${n} B`
    : n < 1e6
      ? `${(n / 1e3).toFixed(1)} kB`
      : n < 1e9
        ? `${(n / 1e6).toFixed(1)} MB`
        : `${(n / 1e9).toFixed(2)} GB`;
}
