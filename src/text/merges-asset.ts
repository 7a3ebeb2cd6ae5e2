import { FileError } from "../errors.ts";

/** A loader of CLIP's merge list, called when the first checkpoint without a tokenizer folder is loaded. */
export type MergesLoader = () => Promise<string>;

/** Loads the merge list over the network, at most once; a failure is not remembered.
 *
 *  The entry passes `new URL("../assets/clip-merges.txt", import.meta.url)` written out in place, since bundlers look for
 *  that very expression.   @throws {FileError} the file cannot be fetched */
export function fetchedMerges(url: URL | string): MergesLoader {
  return once(async () => {
    const response = await fetch(url).catch((cause: unknown) => {
      throw missingMerges(String(url), "the request failed", cause);
    });
    if (!response.ok) throw missingMerges(String(url), `HTTP ${response.status}`);
    return response.text();
  });
}

/** Runs `load` at its first call and hands every later caller the same promise, unless it was rejected. */
export function once(load: MergesLoader): MergesLoader {
  let pending: Promise<string> | undefined;
  return () => {
    pending ??= load().catch((error: unknown) => {
      pending = undefined;
      throw error;
    });
    return pending;
  };
}

export function missingMerges(where: string, why: string, cause?: unknown): FileError {
  return new FileError(
    `CLIP's merge list ${where}: ${why}`,
    "the package ships it as assets/clip-merges.txt; serve that file, or load a checkpoint with a tokenizer folder",
    { cause },
  );
}
