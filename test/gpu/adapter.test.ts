import { execFile } from "node:child_process";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { AdapterError, UsageError } from "../../src/errors.ts";
import type { DoctorReport } from "../../src/cli/doctor.ts";
import { adapterLine, findAdapter, parseChoice, tryDriver } from "../../src/node/adapter.ts";
import { checkAdapter } from "../../src/node/self-check.ts";
import { swiftShaderMissing, unpackSwiftShader } from "../../src/node/swiftshader.ts";

const script = fileURLToPath(new URL("../../scripts/w2sd.mjs", import.meta.url));

function doctor(
  args: string[],
  env: Record<string, string> = {},
): Promise<{ code: number | null; stdout: string; stderr: string }> {
  return new Promise((done) => {
    const child = execFile(
      process.execPath,
      [script, "doctor", ...args],
      { env: { ...process.env, ...env } },
      (_, stdout, stderr) => done({ code: child.exitCode, stdout, stderr }),
    );
  });
}

/** No Vulkan driver of the system's is visible, so that only SwiftShader remains. */
const noDrivers = { VK_DRIVER_FILES: "/nowhere/icd.json", VK_ICD_FILENAMES: "/nowhere/icd.json" };

describe("findAdapter", () => {
  it("finds the adapter of this run, and it computes", async () => {
    const found = await findAdapter();
    const asked = process.env["W2SD_ADAPTER"] ?? "auto";
    if (asked !== "auto") expect(found.driver).toBe(asked);
    const { facts, selfCheck } = await checkAdapter(found);
    expect(selfCheck).toMatchObject({ ok: true });
    expect(facts.limits["maxStorageBufferBindingSize"]).toBeGreaterThanOrEqual(2 ** 27);
  });

  it("leaves the environment as it was, since a browser would trip over it", async () => {
    const before = { ...process.env };
    for (const driver of ["lavapipe", "swiftshader"] as const) await tryDriver(driver);
    expect({ ...process.env }).toEqual(before);
  });

  it("says of software that it is software, and never of a GPU", async () => {
    for (const driver of ["gpu", "lavapipe", "swiftshader"] as const) {
      const trial = await tryDriver(driver);
      if ("missing" in trial) continue;
      expect(trial).toMatchObject({ driver, software: driver !== "gpu" });
      expect(adapterLine(trial).includes("software: no GPU is used")).toBe(driver !== "gpu");
    }
  });

  it("refuses an unknown choice, naming where it came from", () => {
    expect(() => parseChoice("tpu", "W2SD_ADAPTER")).toThrow(UsageError);
    expect(() => parseChoice("tpu", "W2SD_ADAPTER")).toThrow("W2SD_ADAPTER: there is no adapter 'tpu'");
  });

  it("an adapter that is not there is an AdapterError that says what is", async () => {
    for (const driver of ["gpu", "lavapipe", "swiftshader"] as const) {
      const trial = await tryDriver(driver);
      if (!("missing" in trial)) continue;
      const error = await findAdapter({ adapter: driver }).catch((e: unknown) => e);
      expect(error).toBeInstanceOf(AdapterError);
      expect((error as Error).message).toContain(`adapter '${driver}' is not available: ${trial.missing}`);
    }
  });
});

describe.skipIf(swiftShaderMissing() !== undefined)("SwiftShader from the package", () => {
  it("is unpacked once, whole, by callers at the same time", async () => {
    const cache = await mkdtemp(join(tmpdir(), "w2sd-cache-"));
    const before = process.env["XDG_CACHE_HOME"];
    process.env["XDG_CACHE_HOME"] = cache;
    try {
      const files = await Promise.all([unpackSwiftShader(), unpackSwiftShader(), unpackSwiftShader()]);
      expect(new Set(files.map((f) => f.driverJson)).size).toBe(1);
      const [folder, ...others] = await readdir(join(cache, "w2sd-webgpu"));
      expect(others).toEqual([]);
      expect((await readdir(join(cache, "w2sd-webgpu", folder!))).sort()).toEqual([
        "libvk_swiftshader.so",
        "libvulkan.so.1",
        "vk_swiftshader_icd.json",
      ]);
    } finally {
      if (before === undefined) delete process.env["XDG_CACHE_HOME"];
      else process.env["XDG_CACHE_HOME"] = before;
      await rm(cache, { recursive: true });
    }
  });

  it("is what auto falls back to, without a usable cache too", async () => {
    const { code, stdout } = await doctor(["--json"], {
      ...noDrivers,
      W2SD_ADAPTER: "auto",
      XDG_CACHE_HOME: "/dev/null/none",
    });
    expect(code).toBe(0);
    const report = JSON.parse(stdout) as DoctorReport;
    expect(report.adapter).toMatchObject({ driver: "swiftshader", software: true });
    expect(report.selfCheck).toMatchObject({ ok: true });
  });
});

describe("doctor", () => {
  it("prints one JSON object on stdout", async () => {
    const { code, stdout } = await doctor(["--json"]);
    expect(code).toBe(0);
    const report = JSON.parse(stdout) as DoctorReport;
    expect(report.drivers.map((d) => d.driver)).toEqual(["gpu", "lavapipe", "swiftshader"]);
    expect(report.adapter).not.toBeNull();
    expect(report.selfCheck).toMatchObject({ ok: true });
  });

  it("exits with 3 when the adapter asked for is not there, and reports all the same", async () => {
    const { code, stdout, stderr } = await doctor(["--json", "--adapter", "gpu"], noDrivers);
    expect(code).toBe(3);
    expect(stderr).toContain("AdapterError: adapter 'gpu' is not available");
    expect(JSON.parse(stdout)).toMatchObject({ adapter: null, selfCheck: null });
  });
});
