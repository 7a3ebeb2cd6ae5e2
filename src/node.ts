import { access } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { mergesFromDisk } from "./text/merges-asset-node.ts";
import { loadWith, resolveUrl, type LoadOptions } from "./load.ts";
import { findAdapter } from "./node/adapter.ts";
import type { Pipeline } from "./pipeline/pipeline.ts";
import { openPath } from "./weights/disk.ts";

/** Opens a device and a checkpoint, or a pair, in Node: a path on disk, an address, or a hub id. See {@link loadWith}.
 *  @throws {AdapterError} neither a GPU nor a software adapter, or the `webgpu` package is missing */
export async function load(options: LoadOptions): Promise<Pipeline> {
  const device = options.device ?? { gpu: (await findAdapter()).gpu };
  const resolve = async (location: string) => ((await exists(location)) ? openPath(location) : resolveUrl(location));
  return loadWith(resolve, { merges: clipMerges, ...options, device });
}

/** CLIP's merge list, read from the package when a checkpoint without a tokenizer is loaded. */
export const clipMerges = mergesFromDisk(fileURLToPath(new URL("../assets/clip-merges.txt", import.meta.url)));

function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

export { findAdapter, type AdapterChoice, type FoundAdapter } from "./node/adapter.ts";
export * from "./api.ts";
