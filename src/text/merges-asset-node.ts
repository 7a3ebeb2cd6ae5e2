import { readFile } from "node:fs/promises";
import { missingMerges, once, type MergesLoader } from "./merges-asset.ts";

/** Reads the merge list from disk, at most once. For the Node entry only: browser code must not import this file.
 *  @throws {FileError} the file cannot be read */
export function mergesFromDisk(path: URL | string): MergesLoader {
  return once(() =>
    readFile(path, "utf8").catch((cause: unknown) => {
      throw missingMerges(String(path), cause instanceof Error ? cause.message : "it cannot be read", cause);
    }),
  );
}
