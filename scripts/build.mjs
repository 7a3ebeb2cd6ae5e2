// Builds dist/ from src/. `--types` also writes the declarations (slow): for packing.
import { execFileSync } from "node:child_process";
import { mkdirSync, readdirSync, renameSync, rmSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { isBuiltin } from "node:module";
import { dirname, join, relative } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const dist = join(root, "dist");
const stamp = join(dist, ".built");
const inputs = ["src", "shaders", "scripts/build.mjs", "package.json", "package-lock.json"];

/** Newest modification among the files a build depends on, folders included: deleting a file touches its folder. */
function newestInput() {
  let newest = 0;
  const visit = (path) => {
    const stats = statSync(path, { throwIfNoEntry: false });
    if (!stats) return;
    newest = Math.max(newest, stats.mtimeMs);
    if (stats.isDirectory()) for (const name of readdirSync(path)) visit(join(path, name));
  };
  for (const input of inputs) visit(join(root, input));
  return newest;
}

/** Builds unless dist/ is as new as the sources. */
export async function ensureBuilt() {
  const built = statSync(stamp, { throwIfNoEntry: false });
  if (!built || built.mtimeMs < newestInput()) await buildAll();
}

/** Fails on an import of a Node built-in, naming who imports it: the web entry must run in a page. */
const noNodeBuiltins = {
  name: "no-node-builtins",
  setup({ onResolve }) {
    onResolve({ filter: /^(node:)?[a-z_]+(\/[a-z]+)?$/ }, ({ path, importer }) =>
      isBuiltin(path)
        ? {
            errors: [{ text: `${relative(root, importer)} imports ${path}: the web entry must hold no Node built-in` }],
          }
        : undefined,
    );
  },
};

export async function buildAll({ types = false } = {}) {
  const { build } = await import("esbuild");
  // Taken before reading the sources: what changes meanwhile is built again next time.
  const started = new Date();
  const common = {
    absWorkingDir: root,
    bundle: true,
    format: "esm",
    target: "es2022",
    loader: { ".wgsl": "text" },
    // For work on the checkout; packed, they would be two thirds of the package.
    sourcemap: !types,
    outdir: dist,
    write: false,
    logLevel: "warning",
    legalComments: "none",
    // Errors are shown by their class name, which bundling may otherwise change.
    keepNames: true,
  };
  const results = await Promise.all([
    build({ ...common, entryPoints: { index: "src/index.ts" }, platform: "browser", plugins: [noNodeBuiltins] }),
    build({
      ...common,
      // One copy of what both share, so that an error thrown in one is an instance of the other's class. No sub-folder:
      // assets lie at ../assets from every file.
      splitting: true,
      chunkNames: "[name]-[hash]",
      entryPoints: { node: "src/node.ts", cli: "src/cli/main.ts" },
      platform: "node",
      target: "node20",
      packages: "external",
    }),
  ]);
  mkdirSync(dist, { recursive: true });
  // Shared parts first, entries last, each under its name in one step: whoever runs an entry meanwhile finds all it needs.
  const files = results.flatMap((r) => r.outputFiles).sort((a, b) => isEntry(a.path) - isEntry(b.path));
  for (const { path, contents } of files) {
    const part = `${path}.${process.pid}.part`;
    writeFileSync(part, contents, { mode: path === join(dist, "cli.js") ? 0o755 : 0o644 });
    renameSync(part, path);
  }
  if (types) {
    // For packing: only what this build made. Otherwise older parts stay for commands that are still running.
    const keep = new Set([...files.map((f) => f.path), stamp]);
    for (const name of readdirSync(dist))
      if (!keep.has(join(dist, name))) rmSync(join(dist, name), { recursive: true });
    const tsc = join(root, "node_modules", "typescript", "bin", "tsc");
    execFileSync(process.execPath, [tsc, "--project", join(root, "tsconfig.build.json")], { stdio: "inherit" });
  }
  writeFileSync(stamp, "");
  utimesSync(stamp, started, started);
}

function isEntry(path) {
  return /[/\\](index|node|cli)\.js$/.test(path) ? 1 : 0;
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  try {
    await buildAll({ types: process.argv.includes("--types") });
  } catch (error) {
    // esbuild and tsc have printed what is wrong.
    if (!error.errors && error.status === undefined) console.error(error);
    process.exitCode = 1;
  }
}
