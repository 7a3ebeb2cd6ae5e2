import { rmSync } from "node:fs";
import { mkdir, mkdtemp, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { constants, homedir, tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { promisify } from "node:util";
import { brotliDecompress } from "node:zlib";

/** The npm package that carries SwiftShader for Linux x64, beside a headless browser. */
export const SWIFTSHADER_PACKAGE = "@sparticuz/chromium";

const DRIVER = "libvk_swiftshader.so";
const DRIVER_JSON = "vk_swiftshader_icd.json";
const LOADER = "libvulkan.so.1";

/** Where SwiftShader lies once unpacked. */
export interface SwiftShader {
  /** The json that tells a Vulkan loader where the driver is. */
  readonly driverJson: string;
  /** A Vulkan loader for hosts that have none. */
  readonly loader: string;
}

/** Folder of the installed package, or undefined where there is none. */
function packageFolder(): string | undefined {
  try {
    // Its main file is build/cjs/index.cjs; package.json itself is not among its exports.
    return resolve(dirname(createRequire(import.meta.url).resolve(SWIFTSHADER_PACKAGE)), "../..");
  } catch {
    return undefined;
  }
}

/** Why SwiftShader cannot be used here, or undefined if it can. */
export function swiftShaderMissing(): string | undefined {
  if (process.platform !== "linux" || process.arch !== "x64") {
    return `${SWIFTSHADER_PACKAGE} is built for linux x64, this is ${process.platform} ${process.arch}`;
  }
  return packageFolder() === undefined ? `the package ${SWIFTSHADER_PACKAGE} is not installed` : undefined;
}

/** Unpacks the driver into the user's cache, once per version; concurrent callers end up with one complete folder.
 *  Call it only where `swiftShaderMissing()` is undefined. */
export async function unpackSwiftShader(): Promise<SwiftShader> {
  const source = packageFolder()!;
  const { version } = JSON.parse(await readFile(join(source, "package.json"), "utf8")) as { version: string };
  const cache = join(process.env["XDG_CACHE_HOME"] || join(homedir(), ".cache"), "w2sd-webgpu");
  const folder = join(cache, `swiftshader-${version}`);
  if (!(await exists(folder))) {
    try {
      await mkdir(cache, { recursive: true });
      const part = await mkdtemp(`${folder}.`);
      try {
        await unpack(source, part);
        await rename(part, folder);
      } catch (error) {
        await rm(part, { recursive: true, force: true });
        // Someone else finished first: their folder is as good.
        if (!(await exists(folder))) throw error;
      }
    } catch {
      // No usable cache (read-only home, full disk). A name that nobody could have prepared: a library is loaded from it.
      const temporary = await mkdtemp(join(tmpdir(), "w2sd-swiftshader-"));
      process.once("exit", () => rmSync(temporary, { recursive: true, force: true }));
      await unpack(source, temporary);
      return filesIn(temporary);
    }
  }
  return filesIn(folder);
}

function filesIn(folder: string): SwiftShader {
  return { driverJson: join(folder, DRIVER_JSON), loader: join(folder, LOADER) };
}

async function unpack(source: string, folder: string): Promise<void> {
  const { parseTar } = await import("nanotar");
  const tar = await promisify(brotliDecompress)(await readFile(join(source, "bin", "swiftshader.tar.br")));
  const entries = parseTar(tar);
  for (const name of [DRIVER, DRIVER_JSON, LOADER]) {
    const data = entries.find((e) => e.name.replace(/^\.\//, "") === name)?.data;
    if (!data) throw new Error(`${SWIFTSHADER_PACKAGE}'s bin/swiftshader.tar.br holds no ${name}`);
    await writeFile(join(folder, name), data, { mode: 0o755 });
  }
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}

let systemLoader: boolean | undefined;

/** Whether the system has a Vulkan loader; asked once, since a preloaded one would answer later. */
export function hasVulkanLoader(): boolean {
  systemLoader ??= load(LOADER, constants.dlopen.RTLD_LAZY) === undefined;
  return systemLoader;
}

/** Loads a Vulkan loader into this process and keeps it there, so that a later search for `libvulkan.so.1` finds it by its
 *  name. The obvious way, LD_LIBRARY_PATH, is read only when a process starts: it would cost every command a second one.
 *  @throws {Error} the file is no library that can be loaded here */
export function preloadVulkanLoader(path: string): void {
  hasVulkanLoader();
  // Stay resident although Node closes what does not register as one of its own modules. glibc; not in `os.constants`.
  const RTLD_NODELETE = 0x1000;
  const error = load(path, constants.dlopen.RTLD_NOW | RTLD_NODELETE);
  if (error) throw error;
}

/** Opens a library that is no module of Node's, and says why it could not. */
function load(name: string, flags: number): Error | undefined {
  try {
    process.dlopen({ exports: {} }, name, flags);
  } catch (error) {
    // This complaint comes after the library has been loaded.
    if (!/did not self-register/.test(String(error))) return error as Error;
  }
  return undefined;
}
