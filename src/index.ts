import { fetchedMerges } from "./text/merges-asset.ts";
import { loadWith, resolveUrl, type LoadOptions } from "./load.ts";
import type { Pipeline } from "./pipeline/pipeline.ts";

/** Opens a device and a checkpoint, or a pair, in a page. See {@link loadWith}. */
export function load(options: LoadOptions): Promise<Pipeline> {
  return loadWith(resolveUrl, { merges: clipMerges, ...options });
}

/** CLIP's merge list, fetched from beside this module when a checkpoint without a tokenizer is loaded. */
export const clipMerges = fetchedMerges(new URL("../assets/clip-merges.txt", import.meta.url));

export * from "./api.ts";
