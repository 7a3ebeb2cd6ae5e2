import { availableParallelism, freemem, totalmem } from "node:os";
import { Command } from "commander";
import { AdapterError, DeviceError } from "../errors.ts";
import { adapterLine, findAdapter, tryDriver, type AdapterChoice, type FoundAdapter } from "../node/adapter.ts";
import { checkAdapter, type AdapterFacts, type SelfCheck } from "../node/self-check.ts";
import { SWIFTSHADER_PACKAGE } from "../node/swiftshader.ts";
import * as options from "./options.ts";
import type { Terminal } from "./session.ts";
import { version, versionOf } from "./version.ts";

export interface DoctorOptions {
  adapter?: AdapterChoice;
  json?: boolean;
}

export interface DoctorReport {
  readonly version: string;
  readonly node: string;
  readonly platform: string;
  readonly cpus: number;
  readonly memory: { readonly totalBytes: number; readonly freeBytes: number };
  readonly packages: Readonly<Record<string, string | null>>;
  readonly drivers: readonly {
    driver: string;
    available: boolean;
    name?: string;
    software?: boolean;
    reason?: string;
  }[];
  /** What a command would use, null if there is nothing. */
  readonly adapter: (AdapterFacts & Pick<FoundAdapter, "name" | "driver" | "software" | "notes">) | null;
  readonly selfCheck: SelfCheck | null;
}

export function doctorCommand(terminal: Terminal): Command {
  return new Command("doctor")
    .description("say which WebGPU adapters work here, what they offer, and whether the chosen one computes")
    .addOption(options.adapterOption())
    .addOption(options.jsonOption())
    .action((parsed: DoctorOptions) => doctor(parsed, terminal));
}

/** Prints the report.
 *  @throws {AdapterError} there is no adapter, or not the one asked for; the report is printed all the same
 *  @throws {DeviceError} the adapter computes wrongly */
export async function doctor(parsed: DoctorOptions, terminal: Terminal): Promise<void> {
  const { report, failure } = await examine(parsed.adapter);
  terminal.print(parsed.json ? JSON.stringify(report) : describe(report));
  if (failure) throw failure;
  if (report.selfCheck && !report.selfCheck.ok) {
    throw new DeviceError(
      `the adapter '${report.adapter?.name}' failed the self-check: ${report.selfCheck.problem}`,
      "update its driver, or choose another with --adapter",
    );
  }
}

async function examine(choice?: AdapterChoice): Promise<{ report: DoctorReport; failure?: AdapterError }> {
  const drivers: DoctorReport["drivers"][number][] = [];
  let adapter: DoctorReport["adapter"] = null;
  let selfCheck: SelfCheck | null = null;
  let failure: AdapterError | undefined;
  try {
    for (const driver of ["gpu", "lavapipe", "swiftshader"] as const) {
      const trial = await tryDriver(driver);
      drivers.push(
        "missing" in trial
          ? { driver, available: false, reason: trial.missing }
          : { driver, available: true, name: trial.name, software: trial.software },
      );
    }
    const found = await findAdapter(choice === undefined ? {} : { adapter: choice });
    const { name, driver, software, notes } = found;
    const checked = await checkAdapter(found);
    adapter = { name, driver, software, notes, ...checked.facts };
    selfCheck = checked.selfCheck;
  } catch (error) {
    if (!(error instanceof AdapterError)) throw error;
    failure = error;
  }
  const report: DoctorReport = {
    version,
    node: process.versions.node,
    platform: `${process.platform} ${process.arch}`,
    cpus: availableParallelism(),
    memory: { totalBytes: totalmem(), freeBytes: freemem() },
    packages: { webgpu: versionOf("webgpu") ?? null, [SWIFTSHADER_PACKAGE]: versionOf(SWIFTSHADER_PACKAGE) ?? null },
    drivers,
    adapter,
    selfCheck,
  };
  return failure ? { report, failure } : { report };
}

function describe(r: DoctorReport): string {
  const packages = Object.entries(r.packages).map(([name, v]) => `${name} ${v ?? "not installed"}`);
  const lines = [
    `w2sd-webgpu ${r.version}, Node ${r.node}, ${r.platform}, ${r.cpus} CPUs, ${gib(r.memory.freeBytes)} of ${gib(r.memory.totalBytes)} GiB free`,
    packages.join(", "),
    ...r.drivers.map((d) => `${d.driver.padEnd(12)}${d.available ? d.name : `none: ${d.reason}`}`),
  ];
  if (r.adapter) {
    const limits = Object.entries(r.adapter.limits).map(([name, value]) => `  ${name.padEnd(34)}${value}`);
    const check = r.selfCheck?.ok ? `ok in ${r.selfCheck.ms} ms` : `failed: ${r.selfCheck?.problem}`;
    lines.push(
      adapterLine(r.adapter),
      `features: ${r.adapter.features.join(" ")}`,
      "limits:",
      ...limits,
      `self-check: ${check}`,
    );
  }
  return lines.join("\n");
}

const gib = (bytes: number) => (bytes / 2 ** 30).toFixed(1);
