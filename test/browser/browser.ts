import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";
import puppeteer, { type Browser } from "puppeteer";
import { npmChromium } from "./npm-chromium.ts";

/** A browser that is there. */
export interface FoundBrowser {
  readonly path: string;
  /** What to call it in messages. */
  readonly origin: string;
  /** The old headless mode is another program, and the only one that the package has. */
  readonly headless: true | "shell";
  readonly env: Readonly<Record<string, string>>;
}

/** A browser for tests, or why there is none: the one that CHROME_PATH names, an installed Chrome or Chromium, the one in
 *  @sparticuz/chromium.
 *  @throws {Error} CHROME_PATH names no program */
export async function findBrowser(): Promise<FoundBrowser | { readonly missing: string }> {
  const named = process.env["CHROME_PATH"];
  if (named) {
    if (!isProgram(named)) throw new Error(`CHROME_PATH ${named} is no program`);
    return { path: named, origin: "CHROME_PATH", headless: true, env: {} };
  }
  const path = installed();
  if (path) return { path, origin: "installed", headless: true, env: {} };
  const packed = await npmChromium();
  if ("missing" in packed) return { missing: `CHROME_PATH is not set, no Chrome is installed, and ${packed.missing}` };
  return { ...packed, origin: "@sparticuz/chromium", headless: "shell" };
}

function installed(): string | undefined {
  const names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
  const folders = (process.env["PATH"] ?? "").split(delimiter).filter(Boolean);
  const onPath = folders.flatMap((folder) => names.map((name) => join(folder, name))).find(isProgram);
  if (onPath) return onPath;
  try {
    // Where Chrome installs itself on each system.
    const path = puppeteer.executablePath("chrome");
    return isProgram(path) ? path : undefined;
  } catch {
    return undefined;
  }
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** Starts a browser without a window, on SwiftShader wherever it runs: the results are the same everywhere.
 *  The sandbox is off, since containers lack what it needs; it opens no page but our own. */
export function startBrowser({ path, headless, env }: FoundBrowser): Promise<Browser> {
  // A Vulkan driver meant for Node leaves Chromium without an adapter.
  const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith("VK_"));
  return puppeteer.launch({
    executablePath: path,
    headless,
    env: { ...Object.fromEntries(inherited), ...env },
    // Commands wait behind a dispatch that a software adapter takes minutes for on a busy machine.
    protocolTimeout: 600_000,
    timeout: 120_000,
    args: [
      "--no-sandbox",
      "--no-first-run",
      "--disable-quic",
      "--disable-sync",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-dev-shm-usage",
      "--enable-unsafe-webgpu",
      "--use-webgpu-adapter=swiftshader",
    ],
  });
}
