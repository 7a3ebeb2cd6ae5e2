import { FileError } from "../errors.ts";
import type { Component, ComponentName } from "./component.ts";
import type { Config } from "./config.ts";
import { openDiffusers } from "./diffusers.ts";
import type { Folder } from "./folder.ts";
import { openSingleFile } from "./single-file.ts";
import type { ByteSource } from "./source.ts";

export { needTensor } from "./component.ts";
export type { Component, ComponentName } from "./component.ts";
export type { TensorEntry } from "./safetensors.ts";

/** What a checkpoint says of its tokenizer; all of it may be absent, as in a single file, and is then CLIP's own. */
export interface TokenizerFiles {
  readonly vocab?: Readonly<Record<string, number>>;
  /** `merges.txt` as text. */
  readonly merges?: string;
  /** `tokenizer.json`, where there is no `merges.txt`. */
  readonly tokenizerJson?: Config;
  readonly specialTokensMap?: Config;
  readonly tokenizerConfig?: Config;
}

/** A Stable Diffusion checkpoint whose headers have been read; the tensors are still where they were. */
export interface Checkpoint {
  readonly name: string;
  readonly kind: "diffusers" | "single-file";
  /** As the field calls it, such as `Stable Diffusion 1.x`. */
  readonly family: string;
  readonly unet?: Component;
  readonly vae?: Component;
  readonly textEncoder?: Component;
  readonly scheduler?: Config;
  readonly tokenizer?: TokenizerFiles;
  /** Untrusted text from the file's header. */
  readonly metadata: ReadonlyMap<string, string>;
}

export interface OpenOptions {
  /** Only these; all that there are by default. */
  readonly components?: readonly ComponentName[];
  /** Which of a folder's files: `fp16`, `non_ema`, or `""` for those without a mark. By default fp16 where there is one:
   *  it is half as long, and weights are kept in f16 anyway. */
  readonly variant?: string;
  /** A single file's averaged weights in place of the trained ones. */
  readonly ema?: boolean;
  /** Configs for a single file that is neither plain SD 1.x nor 2.x, laid out like a diffusers folder. */
  readonly config?: Folder;
  /** What a single file predicts, where it is known better than from the file. */
  readonly predictionType?: "epsilon" | "v_prediction";
  /** Report missing, unexpected and misshapen tensors in the components, instead of throwing. */
  readonly tolerant?: boolean;
  /** Leave the tokenizer's files unread (1.5 MB), so that only headers and configs are. */
  readonly tokenizer?: boolean;
  readonly signal?: AbortSignal;
}

/** Opens a checkpoint: a diffusers folder, or a single file in the LDM layout. Reads headers and configs only, and holds
 *  every tensor's name, shape and dtype to what the configs call for.
 *  @throws {FileError} not a checkpoint of a family that is run, incomplete, or damaged */
export async function openCheckpoint(location: Folder | ByteSource, options: OpenOptions = {}): Promise<Checkpoint> {
  return "read" in location ? openSingleFile(location, options) : openDiffusers(location, options);
}

/** @throws {FileError} the checkpoint has no such component */
export function needComponent(checkpoint: Checkpoint, name: ComponentName): Component {
  const component = { unet: checkpoint.unet, vae: checkpoint.vae, text_encoder: checkpoint.textEncoder }[name];
  if (component !== undefined) return component;
  throw new FileError(
    `${checkpoint.name} has no ${name}`,
    "use a complete checkpoint, or give this part from another one",
  );
}

/** @throws {FileError} the checkpoint does not say how it was trained */
export function needScheduler(checkpoint: Checkpoint): Config {
  if (checkpoint.scheduler !== undefined) return checkpoint.scheduler;
  throw new FileError(
    `${checkpoint.name} has no scheduler/scheduler_config.json`,
    "the noise schedule is part of the model: fetch the file from where the model came from",
  );
}
