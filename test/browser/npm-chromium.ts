import { execFile } from "node:child_process";
import { createReadStream, createWriteStream, existsSync } from "node:fs";
import { mkdir, mkdtemp, readFile, rename, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { homedir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { pipeline } from "node:stream/promises";
import { promisify } from "node:util";
import { brotliDecompress, createBrotliDecompress } from "node:zlib";
import { parseTar } from "nanotar";

/** A browser from a package, and what its process needs to be told. */
export interface NpmChromium {
  readonly path: string;
  readonly env: Readonly<Record<string, string>>;
}

/** The headless browser in @sparticuz/chromium, or why it cannot be used here. Unpacked (210 MB) into the user's cache once
 *  per version, with SwiftShader beside the binary: without that it has no adapter. */
export async function npmChromium(): Promise<NpmChromium | { readonly missing: string }> {
  if (process.platform !== "linux" || process.arch !== "x64")
    return { missing: `@sparticuz/chromium is built for linux x64, this is ${process.platform} ${process.arch}` };
  let source;
  try {
    source = resolve(dirname(createRequire(import.meta.url).resolve("@sparticuz/chromium")), "../..");
  } catch {
    return { missing: "the package @sparticuz/chromium is not installed" };
  }
  try {
    const folder = await unpacked(source);
    const path = join(folder, "chromium");
    return { path, env: await environment(path, folder) };
  } catch (error) {
    return { missing: `@sparticuz/chromium cannot be unpacked: ${(error as Error).message}` };
  }
}

/** The folder with everything in it. Concurrent callers end up with one complete folder. */
async function unpacked(source: string): Promise<string> {
  const { version } = JSON.parse(await readFile(join(source, "package.json"), "utf8")) as { version: string };
  const cache = join(process.env["XDG_CACHE_HOME"] || join(homedir(), ".cache"), "w2sd-webgpu");
  const folder = join(cache, `chromium-${version}`);
  if (existsSync(folder)) return folder;
  await mkdir(cache, { recursive: true });
  const part = await mkdtemp(`${folder}.`);
  try {
    await unpack(join(source, "bin"), part);
    // The one that comes along names only folders of a cloud function's.
    await writeFile(join(part, "fonts.conf"), fontsConf(folder));
    await rename(part, folder);
  } catch (error) {
    await rm(part, { recursive: true, force: true });
    // Someone else finished first: their folder is as good.
    if (!existsSync(folder)) throw error;
  }
  return folder;
}

async function unpack(bin: string, folder: string): Promise<void> {
  await pipeline(
    createReadStream(join(bin, "chromium.br")),
    createBrotliDecompress(),
    createWriteStream(join(folder, "chromium"), { mode: 0o755 }),
  );
  for (const archive of ["swiftshader.tar.br", "al2023.tar.br", "fonts.tar.br"]) {
    const tar = await promisify(brotliDecompress)(await readFile(join(bin, archive)));
    for (const { name, data } of parseTar(tar)) {
      if (!data || name.endsWith("/")) continue;
      const path = join(folder, name);
      await mkdir(dirname(path), { recursive: true });
      await writeFile(path, data, { mode: 0o755 });
    }
  }
}

function fontsConf(folder: string): string {
  return `<fontconfig><dir>${folder}/fonts</dir><cachedir>${folder}/fonts-cache</cachedir></fontconfig>\n`;
}

/** The package's own libraries and fonts, only where the system has none. */
async function environment(path: string, folder: string): Promise<Record<string, string>> {
  const { stdout } = await promisify(execFile)("ldd", [path]).catch(() => ({ stdout: "not found" }));
  const libraries = [join(folder, "lib"), process.env["LD_LIBRARY_PATH"]].filter(Boolean).join(":");
  return {
    ...(stdout.includes("not found") && { LD_LIBRARY_PATH: libraries }),
    ...(!existsSync("/etc/fonts") && { FONTCONFIG_PATH: folder }),
  };
}
