// Bundles one bench (WGSL as text) and runs it: node bench/kernels/run.mjs matmul [arguments of the bench]
import { build } from "esbuild";
import { fileURLToPath, pathToFileURL } from "node:url";

const [name, ...rest] = process.argv.slice(2);
const here = fileURLToPath(new URL(".", import.meta.url));
const outfile = `${here}../../out/bench/${name}.mjs`;
await build({
  entryPoints: [`${here}${name}.bench.ts`],
  outfile,
  bundle: true,
  platform: "node",
  format: "esm",
  packages: "external",
  loader: { ".wgsl": "text" },
});
process.argv = [process.argv[0], outfile, ...rest];
await import(pathToFileURL(outfile).href);
