import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import manifest from "../../package.json" with { type: "json" };

export const version: string = manifest.version;

/** Version of an installed package, or undefined where it is missing. */
export function versionOf(name: string): string | undefined {
  let folder;
  try {
    folder = dirname(createRequire(import.meta.url).resolve(name));
  } catch {
    return undefined;
  }
  // Packages need not export their package.json; it lies somewhere above their main file.
  for (; folder !== dirname(folder); folder = dirname(folder)) {
    try {
      const found = JSON.parse(readFileSync(join(folder, "package.json"), "utf8")) as {
        name?: string;
        version?: string;
      };
      if (found.name === name) return found.version;
    } catch {
      // Not here.
    }
  }
  return undefined;
}
