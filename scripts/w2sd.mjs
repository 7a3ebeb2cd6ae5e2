// `npm run w2sd -- <command>`: builds if the sources are newer than dist/, then is the installed `w2sd`.
import { fileURLToPath } from "node:url";
import { ensureBuilt } from "./build.mjs";

try {
  await ensureBuilt();
} catch {
  console.error("w2sd: the sources do not build; see above");
  process.exit(1);
}
// npm runs scripts in the package's folder; paths on the command line are meant from where it was typed.
if (["w2sd", "demo"].includes(process.env["npm_lifecycle_event"] ?? "") && process.env["INIT_CWD"])
  process.chdir(process.env["INIT_CWD"]);
const cli = new URL("../dist/cli.js", import.meta.url);
process.argv[1] = fileURLToPath(cli);
await import(cli.href);
