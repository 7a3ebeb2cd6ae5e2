import type { Page } from "puppeteer";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { goldenPath } from "../support/golden.ts";
import { browserForTests, startHarness, until, type Harness } from "./harness.ts";

// The page as a person uses it, with the tiny pair. Its policy forbids inline scripts and eval, and a breach is a complaint.
const found = await browserForTests();

describe.skipIf(!found)(`the page in ${found?.path ?? "no browser"}`, () => {
  let harness: Harness;
  let page: Page;
  let strongPicture: string;

  beforeAll(async () => {
    harness = await startHarness(found!);
    page = await harness.open("/demo/");
    await until("the page has a device", 60_000, () => page.$eval("#run", (b) => !(b as HTMLButtonElement).disabled));
    await fill({ "#strong [name=address]": "../test/golden/models/sd15-strong" });
    await fill({ "#weak [name=address]": "../test/golden/models/sd15-weak", "[name=side]": "64", "[name=steps]": "2" });
  });
  afterAll(() => harness?.close());

  /** Types into fields, by selector. */
  async function fill(fields: Record<string, string>): Promise<void> {
    for (const [selector, value] of Object.entries(fields))
      await page.$eval(selector, (field, value) => void ((field as HTMLInputElement).value = value), value);
  }

  const text = (selector: string) => page.$eval(selector, (element) => element.textContent);
  const idle = () => page.$eval("#stop", (button) => (button as HTMLButtonElement).disabled);
  const canvases = () =>
    page.$$eval("canvas", (all) =>
      all.map((canvas) => {
        const { data } = canvas.getContext("2d")!.getImageData(0, 0, canvas.width, canvas.height);
        return { width: canvas.width, label: canvas.ariaLabel, colours: new Set(data).size, bytes: data.join() };
      }),
    );

  it("names the adapter, and says that it is software", async () => {
    expect(await text("#adapter")).toMatch(/swiftshader: a software adapter, no GPU is used/i);
  });

  it("makes three pictures from one seed, with their costs", async () => {
    await page.click("#run");
    await until("the pictures are made", 300_000, idle);
    expect(await text("#error")).toMatch(/^\s*$/);
    expect(await text("#status")).toBe("Done.");
    const made = await canvases();
    expect(made.map((c) => c.width)).toEqual([64, 64, 64]);
    expect(new Set(made.map((c) => c.bytes)).size).toBe(3);
    strongPicture = made[1]!.bytes;
    for (const { colours, label } of made) {
      expect(colours).toBeGreaterThan(16);
      expect(label).not.toMatch(/not made yet/);
    }
    const costs = await page.$$eval(".cost", (all) => all.map((element) => element.textContent));
    expect(costs.map((cost) => cost.replace(/, [\d.]+ s$/, ""))).toEqual([
      "2 evaluations, 4 network passes",
      "2 evaluations, 4 network passes",
      "4 evaluations, 6 network passes",
    ]);
  });

  it("takes a picked folder, and one model as a pair of its own", async () => {
    await page.select("#strong [name=kind]", "folder");
    await page.select("#weak [name=kind]", "none");
    await page.click("#run");
    await until("it has failed", 60_000, idle);
    expect(await text("#error-message")).toBe("no folder is picked for the strong model");
    const input = await page.$("#strong input[name=folder]");
    await input!.uploadFile(goldenPath("models/sd15-strong"));
    await page.click("#run");
    await until("the pictures are made", 300_000, idle);
    expect([await text("#error-message"), await text("#status")]).toEqual(["", "Done."]);
    const made = await canvases();
    expect(new Set(made.map((c) => c.bytes)).size).toBe(3);
    // What the strong model draws does not depend on where it was read from.
    expect(made[1]!.bytes).toBe(strongPicture);
    await page.select("#strong [name=kind]", "address");
    await page.select("#weak [name=kind]", "address");
  });

  it("stops", async () => {
    await fill({ "[name=steps]": "200" });
    await page.click("#run");
    const stepping = async () => /step \d+ of 200/.test((await text("#status")) ?? "");
    await until("a step is done", 120_000, async () => (await stepping()) || (await idle()));
    await page.click("#stop");
    await until("it has stopped", 60_000, idle);
    expect(await text("#error-message")).toBe("");
    expect(await text("#status")).toBe("Stopped.");
  });

  it("shows an error with its hint", async () => {
    await fill({ "[name=steps]": "2", "#strong [name=address]": "../models/nothing" });
    await page.click("#run");
    await until("it has failed", 60_000, idle);
    expect(await text("#error-message")).toMatch(/models\/nothing is no model folder/);
    expect(await text("#error-hint")).toMatch(/give the folder/);
  });

  // Not a test but the page's portrait for the documentation, with the pair that it fills in: PAGE_PICTURE=docs/images/page.png.
  const portrait = process.env["PAGE_PICTURE"];
  if (portrait) {
    it(`is taken a picture of: ${portrait}`, { timeout: 1_800_000 }, async () => {
      page = await harness.open("/demo/");
      await page.setViewport({ width: 1000, height: 1000 });
      await until("the page has a device", 60_000, () => page.$eval("#run", (b) => !(b as HTMLButtonElement).disabled));
      await page.click("#run");
      await until("the pictures are made", 1_800_000, idle);
      expect(await text("#error-message")).toBe("");
      // Without the ring around the button that was pressed.
      await page.evaluate(() => (document.activeElement as HTMLElement | null)?.blur());
      await page.screenshot({ path: portrait, fullPage: true, optimizeForSpeed: false });
    });
  }

  it("complains of nothing", () => {
    expect(harness.complaints).toEqual([]);
  });
});
