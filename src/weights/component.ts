import { FileError } from "../errors.ts";
import { sameShape, showShape, type Shape } from "../tensor.ts";
import type { Config } from "./config.ts";
import type { FileDtype } from "./dtype.ts";
import type { ExpectedTensors } from "./keys/shapes.ts";
import type { TensorEntry } from "./safetensors.ts";
import { count, firstFew, nearestNames, quote } from "./show.ts";

export type ComponentName = "unet" | "vae" | "text_encoder";

/** One model of a checkpoint: its config and where its tensors are, under diffusers' names. */
export interface Component {
  readonly name: ComponentName;
  readonly config: Config;
  /** Where the config comes from, for messages. */
  readonly configFile: string;
  /** Names of the files that the tensors are in. */
  readonly files: readonly string[];
  /** In diffusers' names and shapes. An entry's own `name` is the one in its file. */
  readonly tensors: ReadonlyMap<string, TensorEntry>;
  /** Keys of the files that are known and not needed. */
  readonly ignored: string[];
  /** What does not fit the config; all empty unless the checkpoint was opened tolerantly. */
  readonly missing: readonly string[];
  readonly unexpected: readonly string[];
  readonly misfits: readonly string[];
}

/** Dtypes that models are run from. */
const modelDtypes: readonly FileDtype[] = ["F16", "BF16", "F32"];

export interface Fit {
  readonly tensors: ReadonlyMap<string, TensorEntry>;
  readonly missing: string[];
  readonly misfits: string[];
}

/** Looks every expected tensor up, and checks shape and dtype of what is found. `keyOf` gives a name's key in the file,
 *  for messages. Attention written as a 1×1 convolution, [out, in, 1, 1] for [out, in], has the same bytes: it fits. */
export function fitTensors(
  expected: ExpectedTensors,
  find: (name: string) => TensorEntry | undefined,
  keyOf: (name: string) => string = (name) => name,
): Fit {
  const tensors = new Map<string, TensorEntry>();
  const missing: string[] = [];
  const misfits: string[] = [];
  for (const [name, shape] of expected) {
    const entry = find(name);
    if (entry === undefined) {
      missing.push(keyOf(name));
    } else if (!sameShape(squeezedTo(shape.length, entry.shape), shape)) {
      misfits.push(`${keyOf(name)}: ${showShape(entry.shape)}, the config wants ${showShape(shape)}`);
    } else if (!modelDtypes.includes(entry.dtype)) {
      misfits.push(`${keyOf(name)}: dtype ${entry.dtype}, read are ${modelDtypes.join(", ")}`);
    } else {
      tensors.set(name, { ...entry, shape });
    }
  }
  return { tensors, missing, misfits };
}

/** The shape without trailing 1s beyond rank 2, where rank 2 is wanted. */
function squeezedTo(rank: number, shape: Shape): Shape {
  return rank === 2 && shape.length > 2 && shape.slice(2).every((d) => d === 1) ? shape.slice(0, 2) : shape;
}

/** @throws {FileError} tensors are missing, unexpected, or of another shape or dtype than the config says */
export function checkComponent(component: Component): void {
  const { name, configFile, files, tensors, missing, unexpected, misfits } = component;
  const troubles = [
    missing.length > 0 ? `${count(missing.length, "tensor")} missing (${firstFew(missing)})` : "",
    unexpected.length > 0 ? `${count(unexpected.length, "tensor")} unexpected (${firstFew(unexpected)})` : "",
    misfits.length > 0 ? `${count(misfits.length, "tensor")} of another shape or dtype (${firstFew(misfits)})` : "",
  ].filter((text) => text !== "");
  if (troubles.length === 0) return;
  throw new FileError(
    `${files.join(", ")}: the ${name} does not fit ${configFile} (${count(tensors.size, "tensor")} fit): ${troubles.join("; ")}`,
    "the config describes another model than the file holds, or the file is incomplete",
  );
}

/** A component's tensor, with the shape that the caller relies on.
 *  @throws {FileError} there is none, or it has another shape */
export function needTensor(component: Component, name: string, shape?: Shape): TensorEntry {
  const entry = component.tensors.get(name);
  const where = `${component.files.join(", ")}: ${component.name}`;
  if (entry === undefined) {
    const near = nearestNames(name, component.tensors.keys());
    const hint = near.length > 0 ? `nearest: ${near.map((n) => quote(n)).join(", ")}` : undefined;
    throw new FileError(`${where} has no tensor ${quote(name)} among its ${component.tensors.size}`, hint);
  }
  if (shape !== undefined && !sameShape(entry.shape, shape)) {
    throw new FileError(
      `${where}: tensor ${quote(name)} is ${showShape(entry.shape)}, ${showShape(shape)} is wanted`,
      `${component.configFile} describes another model than the file holds`,
    );
  }
  return entry;
}
