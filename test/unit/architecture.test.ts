import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";

// The layers, lowest first: a file may import from its own folder and from lower layers, never from its own layer's
// other folders or from above. A name stands for the folder src/<name>/ and for the file src/<name>.ts.
const layers = [
  ["wgsl.d", "tensor", "errors"],
  ["kernels", "weights", "text"],
  ["gpu"],
  ["graph"],
  ["models"],
  ["w2sd"],
  ["pipeline"],
  ["load"],
  ["api"],
  ["index"],
  ["node", "worker", "element"],
  ["cli"],
];
const rank = new Map(layers.flatMap((names, i) => names.map((name) => [name, i] as const)));

const src = fileURLToPath(new URL("../../src", import.meta.url));
const files = readdirSync(src, { recursive: true, encoding: "utf8" })
  .filter((f) => f.endsWith(".ts"))
  .map((f) => ({ name: f.split(sep).join("/"), text: readFileSync(join(src, f), "utf8") }));

/** Where a file belongs: `graph/fuse/x.ts` to graph, `node.ts` to node. */
const areaOf = (name: string) => name.split("/")[0]!.replace(/\.ts$/, "");

interface Line {
  readonly at: string;
  readonly text: string;
}
const linesOf = ({ name, text }: (typeof files)[number]): Line[] =>
  text.split("\n").map((line, i) => ({ at: `src/${name}:${i + 1}`, text: line.trim() }));

/** What a file imports, relative to src/, statically or when asked. */
const importsOf = (file: (typeof files)[number]) =>
  linesOf(file).flatMap((line) =>
    [...line.text.matchAll(/(?:from\s+|import\s*\(?\s*)"(\.[^"]+\.ts)"/g)].map((m) => ({
      ...line,
      target: relative(src, join(src, dirname(file.name), m[1]!))
        .split(sep)
        .join("/"),
    })),
  );

const importRule = (name: string) => {
  const from = areaOf(name);
  return files
    .filter((f) => f.name === name)
    .flatMap(importsOf)
    .filter(({ target }) => {
      const to = areaOf(target);
      if (from === to) return false;
      return !((rank.get(to) ?? Infinity) < (rank.get(from) ?? -1));
    })
    .map(({ at, text, target }) => `${at}: ${text}\n  rule: ${from} must not import ${areaOf(target)}`);
};

describe("architecture", () => {
  it("knows every folder and file of src", () => {
    expect(files.map((f) => areaOf(f.name)).filter((area) => !rank.has(area))).toEqual([]);
  });

  it("imports point down, never sideways or up", () => {
    expect(files.flatMap((f) => importRule(f.name))).toEqual([]);
  });

  it("reads imports at all", () => {
    // The two rules above would hold for nothing if the pattern matched nothing.
    expect(files.flatMap(importsOf).length).toBeGreaterThan(files.length / 2);
    expect(importRule("errors.ts")).toEqual([]);
  });

  it("only src/gpu names GPU types, and the platform entries the caller's device", () => {
    const allowed = (name: string) =>
      areaOf(name) === "gpu" ||
      areaOf(name) === "node" ||
      // The entries take a device from their caller and hand it down.
      /^(index|worker|element)\.ts$/.test(name);
    const found = files
      .filter((f) => !allowed(f.name))
      .flatMap(linesOf)
      .filter(({ text }) => /\bGPU[A-Z]\w*/.test(text.replace(/\/\/.*|\/?\*.*/, "")))
      .map(({ at, text }) => `${at}: ${text}\n  rule: GPU* types stay in src/gpu`);
    expect(found).toEqual([]);
  });
});
