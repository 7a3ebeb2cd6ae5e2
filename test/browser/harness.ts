import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import type { Browser, Page } from "puppeteer";
import { buildPage, pageFolders, serve, type Served } from "../../scripts/serve.mjs";
import { findBrowser, startBrowser, type FoundBrowser } from "./browser.ts";
import type { Answers, Jobs, JobState } from "./jobs.ts";

const html = `<!doctype html>
<meta charset="utf-8">
<title>browser tests</title>
<link rel="icon" href="data:,">
<label>checkpoint <input id="file" type="file"></label>
<script type="module" src="/page.js"></script>`;

// As strict as an embedding page may be: no inline script, no eval, no WebAssembly. Other origins are left to CORS.
const policy = "default-src 'none'; script-src 'self'; connect-src http:; img-src data:";

/** The engine in a browser, and the server it comes from. */
export interface Harness {
  readonly browser: Browser;
  readonly served: Served;
  /** The page that does jobs. */
  readonly page: Page;
  /** A new tab with what the server has at a path. */
  open(path: string): Promise<Page>;
  /** What pages complained of: uncaught errors, what their policy forbade, other console errors than failed requests. */
  readonly complaints: string[];
  /** Does a job in the page and waits for its answer.   @throws {Error} with the page's own error */
  run<Name extends keyof Jobs>(name: Name, argument: Jobs[Name]): Promise<Answers[Name]>;
  close(): Promise<void>;
}

/** The browser, or `undefined` where there is none, which is said on stderr.
 *  @throws {Error} CI=true and no browser: there the tests have to run */
export async function browserForTests(): Promise<FoundBrowser | undefined> {
  const found = await findBrowser();
  if (!("missing" in found)) return found;
  if (process.env["CI"]) throw new Error(`the browser tests have no browser: ${found.missing}`);
  console.warn(`LEFT OUT: the browser tests, since there is no browser: ${found.missing}`);
  return undefined;
}

/** Builds what the pages need, serves it, and opens the page that does jobs. */
export async function startHarness(found: FoundBrowser): Promise<Harness> {
  await buildPage();
  const {
    outputFiles: [script],
  } = await build({
    entryPoints: [fileURLToPath(new URL("page.ts", import.meta.url))],
    bundle: true,
    format: "esm",
    target: "es2022",
    write: false,
    logLevel: "warning",
  });
  const served = await serve({
    folders: pageFolders,
    files: {
      "/": { headers: { "content-type": "text/html", "content-security-policy": policy }, body: html },
      "/page.js": { headers: { "content-type": "text/javascript" }, body: script!.contents },
    },
  });
  const complaints: string[] = [];
  let browser: Browser | undefined;
  const close = async () => {
    await browser?.close();
    await served.close();
  };
  try {
    browser = await startBrowser(found);
    const open = (path: string) => openPage(browser!, served.url + path, complaints);
    const page = await open("/");
    await until("the engine is loaded in the page", 60_000, () => page.evaluate(() => "startJob" in globalThis));
    return { browser, served, page, open, complaints, close, run: (name, argument) => runJob(page, name, argument) };
  } catch (error) {
    await close();
    throw new Error(`${found.path}: ${(error as Error).message}${complaints.map((c) => `\n  ${c}`).join("")}`, {
      cause: error,
    });
  }
}

async function openPage(browser: Browser, url: string, complaints: string[]): Promise<Page> {
  const page = await browser.newPage();
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("console", (message) => {
    // The tests ask for files that are not there; the engine says so by itself.
    if (message.type() === "error" && !message.text().startsWith("Failed to load resource"))
      complaints.push(message.text());
  });
  await page.goto(url);
  return page;
}

/** Looks until something holds.   @throws {Error} it does not within `ms` */
export async function until(what: string, ms: number, holds: () => Promise<boolean>): Promise<void> {
  const end = performance.now() + ms;
  while (!(await holds())) {
    if (performance.now() > end) throw new Error(`waited ${ms / 1000} s in vain until ${what}`);
    await sleep(100);
  }
}

interface JobPage {
  startJob(name: string, argument: unknown): number;
  jobState(id: number): JobState;
}

async function runJob<Name extends keyof Jobs>(page: Page, name: Name, argument: Jobs[Name]): Promise<Answers[Name]> {
  const id = await page.evaluate(
    (name, argument) => (globalThis as unknown as JobPage).startJob(name, argument),
    name,
    argument,
  );
  let state: JobState | undefined;
  await until(`the job '${name}' is done`, 300_000, async () => {
    state = await page.evaluate((id) => (globalThis as unknown as JobPage).jobState(id), id);
    return state.done;
  });
  if (state?.error) throw new Error(`in the page: ${state.error.name}: ${state.error.message}`);
  return state?.answer as Answers[Name];
}
