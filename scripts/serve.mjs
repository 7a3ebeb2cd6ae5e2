// `npm run page`: builds the engine and the demonstration page, and serves both on 127.0.0.1. `--port N` for a certain port.
// Also the server of the browser tests.
import { createReadStream, realpathSync } from "node:fs";
import { realpath, stat } from "node:fs/promises";
import { createServer } from "node:http";
import { extname, join, relative, sep } from "node:path";
import { pipeline } from "node:stream/promises";
import { fileURLToPath, pathToFileURL } from "node:url";
import { parseArgs } from "node:util";
import { ensureBuilt } from "./build.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));

const types = {
  ".css": "text/css; charset=utf-8",
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".json": "application/json",
  ".map": "application/json",
  ".png": "image/png",
  ".svg": "image/svg+xml",
  ".txt": "text/plain; charset=utf-8",
};

/** Serves some folders of the project on 127.0.0.1, for reading. Ranges of one part are answered, folders are not listed,
 *  and names that begin with a dot do not exist. See serve.d.mts. */
export async function serve({ folders, files = {}, port = 0 }) {
  const base = realpathSync(root);
  const log = [];

  /** The file that a URL's path names, or undefined. Links count as where they lead. */
  async function find(pathname) {
    const parts = decodeURIComponent(pathname).slice(1).split("/");
    if (parts.at(-1) === "") parts[parts.length - 1] = "index.html";
    if (parts.some((part) => part === "" || part.startsWith(".") || /[\\:\0]/.test(part))) return undefined;
    if (!folders.some((folder) => `${parts.join("/")}/`.startsWith(`${folder}/`))) return undefined;
    const path = await realpath(join(base, ...parts));
    const within = relative(base, path);
    if (within === ".." || within.startsWith(`..${sep}`)) return undefined;
    const stats = await stat(path);
    return stats.isFile() ? { path, size: stats.size } : undefined;
  }

  async function answer(request, response) {
    const headers = { "x-content-type-options": "nosniff", "cache-control": "no-cache" };
    const refuse = (status, more) => response.writeHead(status, { ...headers, ...more }).end();
    // A name that was made to lead here is none of ours: otherwise any web page could read through it.
    const host = (request.headers.host ?? "").replace(/:\d+$/, "");
    if (host !== "127.0.0.1" && host !== "localhost") return refuse(403);
    if (request.method !== "GET" && request.method !== "HEAD") return refuse(405, { allow: "GET, HEAD" });
    const { pathname } = new URL(request.url, "http://127.0.0.1");
    log.push(`${pathname} ${request.headers.range ?? "-"}`);
    const made = files[pathname];
    if (made) return response.writeHead(200, { ...headers, ...made.headers }).end(made.body);
    const file = await find(pathname).catch(() => undefined);
    if (!file) return refuse(404);
    headers["content-type"] = types[extname(file.path)] ?? "application/octet-stream";
    headers["accept-ranges"] = "bytes";
    const range = rangeOf(request.headers.range, file.size);
    if (range === "unsatisfiable") return refuse(416, { "content-range": `bytes */${file.size}` });
    const { begin, end } = range ?? { begin: 0, end: file.size };
    if (range) headers["content-range"] = `bytes ${begin}-${end - 1}/${file.size}`;
    headers["content-length"] = end - begin;
    response.writeHead(range ? 206 : 200, headers);
    if (request.method === "HEAD" || begin === end) return response.end();
    // Whoever asked may leave half-way: then there is nobody to tell.
    await pipeline(createReadStream(file.path, { start: begin, end: end - 1 }), response).catch(() => undefined);
  }

  const server = createServer((request, response) => {
    answer(request, response).catch(() => {
      if (!response.headersSent) response.writeHead(400);
      response.end();
    });
  });
  await new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, "127.0.0.1", resolve);
  });
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    log,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

/** The part that `bytes=a-b`, `bytes=a-` or `bytes=-n` asks for; undefined, which is the whole file, for anything else. */
function rangeOf(header, size) {
  const [, first = "", last = ""] = /^bytes=(\d*)-(\d*)$/.exec(header ?? "") ?? [];
  if (first === "" && last === "") return undefined;
  const begin = first === "" ? Math.max(0, size - Number(last)) : Number(first);
  const end = first === "" || last === "" ? size : Math.min(size, Number(last) + 1);
  if (first !== "" && last !== "" && Number(last) < begin) return undefined;
  return begin < end ? { begin, end } : "unsatisfiable";
}

/** Builds demo/dist. The page imports the engine's own build, as any other page would. */
export async function buildPage() {
  await ensureBuilt();
  const { build } = await import("esbuild");
  await build({
    absWorkingDir: root,
    entryPoints: ["demo/main.ts"],
    outdir: "demo/dist",
    bundle: true,
    format: "esm",
    target: "es2022",
    sourcemap: true,
    logLevel: "warning",
    legalComments: "none",
    plugins: [
      {
        name: "built-engine",
        setup: ({ onResolve }) =>
          onResolve({ filter: /\/src\/index\.ts$/ }, () => ({ path: "../../dist/index.js", external: true })),
      },
    ],
  });
}

/** What the page may read: itself, the engine, and models. */
export const pageFolders = ["demo", "dist", "assets", "models", "test/golden/models"];

async function main() {
  const { values } = parseArgs({ options: { port: { type: "string" } } });
  await buildPage();
  const port = Number(values.port ?? 8080);
  const open = (wanted) => serve({ folders: pageFolders, port: wanted });
  const { url } = await open(port).catch((error) => {
    // Unless a certain port was asked for, any will do.
    if (error.code !== "EADDRINUSE" || values.port !== undefined) throw error;
    return open(0);
  });
  console.log(`${url}/demo/`);
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  try {
    await main();
  } catch (error) {
    // esbuild has printed what is wrong with the sources.
    if (!error.errors) console.error(`page: ${error.message}`);
    process.exitCode = 1;
  }
}
