import { fileURLToPath } from "node:url";
import { mergesFromDisk } from "../text/merges-asset-node.ts";
import { openCheckpoint, type Checkpoint, type ComponentName } from "../weights/checkpoint.ts";
import { openPath } from "../weights/disk.ts";

/** A checkpoint on disk, open until it is closed. */
export interface OpenModel {
  readonly checkpoint: Checkpoint;
  /** CLIP's merge list, for files that carry no tokenizer. */
  readonly merges: () => Promise<string>;
  close(): Promise<void>;
}

/** Opens a diffusers folder or a single file. @throws {FileError} it is not one */
export async function openModel(path: string, only?: ComponentName): Promise<OpenModel> {
  const location = await openPath(path);
  try {
    const checkpoint = await openCheckpoint(location, only ? { components: [only] } : {});
    return { checkpoint, merges, close: () => location.close() };
  } catch (error) {
    await location.close();
    throw error;
  }
}

/** A file that ships with the package, from the built command line or the sources alike. */
export function shipped(path: string): string {
  const fromSources = import.meta.url.endsWith(".ts");
  return fileURLToPath(new URL(`${fromSources ? "../../" : "../"}${path}`, import.meta.url));
}

const merges = mergesFromDisk(shipped("assets/clip-merges.txt"));
