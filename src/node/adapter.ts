import { readdir } from "node:fs/promises";
import { delimiter, join } from "node:path";
import { AdapterError, UsageError } from "../errors.ts";
import {
  hasVulkanLoader,
  preloadVulkanLoader,
  SWIFTSHADER_PACKAGE,
  swiftShaderMissing,
  unpackSwiftShader,
} from "./swiftshader.ts";

/** What a caller can ask for. `auto`: a real GPU, else Mesa's lavapipe, else SwiftShader. */
export const adapterChoices = ["auto", "gpu", "lavapipe", "swiftshader"] as const;
export type AdapterChoice = (typeof adapterChoices)[number];

/** What stands behind an adapter. `software`: a software driver other than the two known by name. */
export type Driver = "gpu" | "lavapipe" | "swiftshader" | "software";

/** A way to WebGPU that has been tried and works. */
export interface FoundAdapter {
  /** What `navigator.gpu` is in a page: hand it to `openGpu`. */
  readonly gpu: GPU;
  readonly driver: Driver;
  /** What to show a person. */
  readonly name: string;
  /** A software adapter is never reported as a GPU. */
  readonly software: boolean;
  /** What else a person should know of the choice: what was passed over, and why. */
  readonly notes: readonly string[];
}

export interface FindAdapterOptions {
  /** Default: the environment variable W2SD_ADAPTER, else `auto`. */
  readonly adapter?: AdapterChoice;
  /** Options for Dawn, for example `enable-dawn-features=allow_unsafe_apis`. */
  readonly dawn?: readonly string[];
}

/** Finds WebGPU in Node through the `webgpu` package (Dawn), and installs its globals (`GPUBufferUsage` and the like).
 *  @throws {AdapterError} the package is missing, or there is no adapter, or not the one asked for
 *  @throws {UsageError} W2SD_ADAPTER is none of the choices */
export async function findAdapter(options: FindAdapterOptions = {}): Promise<FoundAdapter> {
  const choice = options.adapter ?? parseChoice(process.env["W2SD_ADAPTER"] || "auto", "W2SD_ADAPTER");
  const dawn = options.dawn ?? [];
  switch (choice) {
    case "gpu":
      return must(await tryGpu(dawn), "gpu");
    case "lavapipe":
      return must(await tryLavapipe(dawn), "lavapipe");
    case "swiftshader":
      return must(await trySwiftShader(dawn), "swiftshader");
    case "auto":
      return auto(dawn);
  }
}

/** @throws {UsageError} `text` is none of the choices */
export function parseChoice(text: string, source: string): AdapterChoice {
  const choice = adapterChoices.find((c) => c === text);
  if (!choice) throw new UsageError(`${source}: there is no adapter '${text}'`, `one of ${adapterChoices.join(", ")}`);
  return choice;
}

/** One driver's trial: the adapter, or why there is none. */
export type Trial = FoundAdapter | { readonly missing: string };

/** Tries one driver.
 *  @throws {AdapterError} the `webgpu` package is missing or does not load */
export function tryDriver(driver: Exclude<AdapterChoice, "auto">, dawn: readonly string[] = []): Promise<Trial> {
  return { gpu: tryGpu, lavapipe: tryLavapipe, swiftshader: trySwiftShader }[driver](dawn);
}

async function auto(dawn: readonly string[]): Promise<FoundAdapter> {
  // Dawn itself prefers a GPU to a software driver among those the system's Vulkan, Metal or D3D12 offers.
  const system = await requestFromSystem(dawn);
  if (system && system.driver !== "software") return system;
  const notes: string[] = [];
  if (!system) {
    const named = ["VK_DRIVER_FILES", "VK_ICD_FILENAMES"].find((name) => process.env[name]);
    if (named) notes.push(`${named} names no Vulkan driver that Dawn accepts`);
    else if ((await lavapipeJsons()).length > 0) notes.push(`passed over Mesa's lavapipe: ${LAVAPIPE_REFUSED}`);
  }
  const swiftShader = await trySwiftShader(dawn);
  if (!("missing" in swiftShader)) return { ...swiftShader, notes };
  if (system) return system;
  throw new AdapterError(
    `no WebGPU adapter: no GPU that Dawn can use; ${notes[0] ?? "no lavapipe is installed"}; no SwiftShader, since ${swiftShader.missing}`,
    `install Mesa's Vulkan drivers (24 or newer) and a Vulkan loader, or npm install --save-dev ${SWIFTSHADER_PACKAGE}`,
  );
}

function must(trial: Trial, choice: AdapterChoice): FoundAdapter {
  if ("missing" in trial) {
    throw new AdapterError(
      `adapter '${choice}' is not available: ${trial.missing}`,
      "`w2sd doctor` lists what is; `--adapter auto` takes the best of them",
    );
  }
  return trial;
}

async function tryGpu(dawn: readonly string[]): Promise<Trial> {
  const found = await requestFromSystem(dawn);
  if (!found) {
    const loader = process.platform !== "linux" || hasVulkanLoader();
    return { missing: loader ? "Dawn finds no GPU" : "there is no Vulkan loader (libvulkan.so.1)" };
  }
  return found.driver === "gpu" ? found : { missing: `no GPU found, only the software adapter '${found.name}'` };
}

const LAVAPIPE_REFUSED = "it is installed but offers no adapter that Dawn accepts; Mesa 24 or newer is needed";

async function tryLavapipe(dawn: readonly string[]): Promise<Trial> {
  const jsons = await lavapipeJsons();
  if (jsons.length === 0) return { missing: "no lvp_icd*.json among the installed Vulkan drivers" };
  const found = await request([...dawn, "backend=vulkan"], jsons.join(delimiter));
  if (!found) return { missing: LAVAPIPE_REFUSED };
  return found.driver === "lavapipe" ? found : { missing: `Dawn offers '${found.name}' instead` };
}

async function trySwiftShader(dawn: readonly string[]): Promise<Trial> {
  const missing = swiftShaderMissing();
  if (missing !== undefined) return { missing };
  let driverJson;
  try {
    const files = await unpackSwiftShader();
    preloadVulkanLoader(files.loader);
    driverJson = files.driverJson;
  } catch (error) {
    return { missing: `it cannot be unpacked or loaded: ${(error as Error).message}` };
  }
  const found = await request([...dawn, "backend=vulkan"], driverJson);
  if (!found) return { missing: `Dawn does not accept ${driverJson}` };
  return found.driver === "swiftshader" ? found : { missing: `Dawn offers '${found.name}' instead` };
}

/** Descriptions of lavapipe in the folders where Vulkan loaders look for drivers. */
async function lavapipeJsons(): Promise<string[]> {
  if (process.platform !== "linux") return [];
  const shares = (process.env["XDG_DATA_DIRS"] || "/usr/local/share:/usr/share").split(":");
  const folders = [...new Set([...shares, "/usr/share", "/etc"])].map((share) => join(share, "vulkan", "icd.d"));
  const found = await Promise.all(
    folders.map(async (folder) => {
      const names = await readdir(folder).catch(() => []);
      return names.filter((name) => /^lvp_icd.*\.json$/.test(name)).map((name) => join(folder, name));
    }),
  );
  return found.flat();
}

/** What the system itself offers. Without a Vulkan loader that is nothing, and asking would print Dawn's complaints. */
async function requestFromSystem(dawn: readonly string[]): Promise<FoundAdapter | undefined> {
  return process.platform === "linux" && !hasVulkanLoader() ? undefined : request(dawn);
}

/** Instances live as long as the process: Dawn aborts it when one is collected while a device made from it is in use. */
const instances: GPU[] = [];

/** Makes an instance of Dawn and asks it for an adapter, if given with only these Vulkan drivers visible. */
async function request(dawn: readonly string[], vulkanDrivers?: string): Promise<FoundAdapter | undefined> {
  const { create, globals } = await loadDawn();
  for (const [name, value] of Object.entries(globals)) {
    if (!(name in globalThis)) Object.defineProperty(globalThis, name, { value, configurable: true, writable: true });
  }
  // Both spellings: loaders before 1.3.207 know only the second. Put back at once, since a browser started from this
  // process would trip over them; the instance has read them by then and remembers its drivers.
  const restore = vulkanDrivers === undefined ? () => {} : setEnvironment(vulkanDrivers);
  try {
    const gpu = create([...dawn]);
    const adapter = await gpu.requestAdapter({ powerPreference: "high-performance" });
    if (!adapter) return undefined;
    instances.push(gpu);
    return describe(gpu, adapter.info);
  } finally {
    restore();
  }
}

function setEnvironment(vulkanDrivers: string): () => void {
  const names = ["VK_DRIVER_FILES", "VK_ICD_FILENAMES"] as const;
  const before = names.map((name) => process.env[name]);
  for (const name of names) process.env[name] = vulkanDrivers;
  return () => {
    names.forEach((name, i) => {
      const value = before[i];
      if (value === undefined) delete process.env[name];
      else process.env[name] = value;
    });
  };
}

function describe(gpu: GPU, info: GPUAdapterInfo): FoundAdapter {
  const words = [info.vendor, info.architecture, info.device, info.description].join(" ");
  const driver: Driver = /swiftshader/i.test(words)
    ? "swiftshader"
    : /llvmpipe|lavapipe/i.test(words)
      ? "lavapipe"
      : info.isFallbackAdapter
        ? "software"
        : "gpu";
  const name = info.description || info.device || `${info.vendor} ${info.architecture}`.trim() || "unnamed adapter";
  return { gpu, driver, name, software: driver !== "gpu", notes: [] };
}

interface Dawn {
  readonly create: (options: string[]) => GPU;
  readonly globals: Record<string, unknown>;
}

async function loadDawn(): Promise<Dawn> {
  try {
    return (await import("webgpu")) as unknown as Dawn;
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "ERR_MODULE_NOT_FOUND") {
      throw new AdapterError("the package `webgpu`, which gives Node WebGPU, is not installed", "npm install webgpu", {
        cause,
      });
    }
    throw new AdapterError(
      `the package \`webgpu\` does not load on ${process.platform} ${process.arch}: ${(cause as Error).message}`,
      "it has binaries for Linux, macOS and Windows on x64 and arm64, and for glibc only",
      { cause },
    );
  }
}

/** One line that names the adapter and does not call software a GPU. */
export function adapterLine(adapter: Pick<FoundAdapter, "name" | "driver" | "software" | "notes">): string {
  const { name, driver, software, notes } = adapter;
  const line = software ? `adapter: ${name} (${driver}, software: no GPU is used)` : `adapter: ${name}`;
  return [line, ...notes.map((note) => `  ${note}`)].join("\n");
}
