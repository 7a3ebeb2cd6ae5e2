import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { isBuiltin } from "node:module";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { version } from "../../../src/cli/version.ts";

const script = fileURLToPath(new URL("../../../scripts/w2sd.mjs", import.meta.url));

interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

function w2sd(args: string[], env: Record<string, string> = {}): Promise<Ended> {
  return new Promise((done) => {
    const child = execFile(
      process.execPath,
      [script, ...args],
      { env: { ...process.env, ...env } },
      (_, stdout, stderr) => done({ code: child.exitCode, stdout, stderr }),
    );
  });
}

describe("the command line as a process", () => {
  it("prints its version on stdout, and nothing else", async () => {
    expect(await w2sd(["--version"])).toEqual({ code: 0, stdout: `${version}\n`, stderr: "" });
  });

  it("prints help on stdout when asked, on stderr as an error", async () => {
    const asked = await w2sd(["--help"]);
    expect(asked).toMatchObject({ code: 0, stderr: "" });
    expect(asked.stdout).toContain("Exit codes: 0 ok");
    expect(await w2sd([])).toMatchObject({ code: 2, stdout: "" });
  });

  it.each([
    ["an unknown command", ["sing"], "'sing'"],
    ["an unknown option", ["doctor", "--jsn"], "'--jsn'"],
    ["an argument too many", ["doctor", "x"], "too many arguments"],
    ["an unknown adapter", ["doctor", "--adapter", "tpu"], "'tpu'"],
  ])("%s exits with 2 and is named on stderr", async (_, args, named) => {
    const { code, stdout, stderr } = await w2sd(args);
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
    expect(stderr).toContain(named);
  });

  it("refuses an unknown W2SD_ADAPTER with 2", async () => {
    const { code, stderr } = await w2sd(["doctor"], { W2SD_ADAPTER: "tpu" });
    expect(code).toBe(2);
    expect(stderr).toContain("W2SD_ADAPTER: there is no adapter 'tpu'");
  });

  it("starts quickly: nothing but commander is loaded before a command asks for more", async () => {
    await w2sd(["--version"]);
    const dist = new URL("../../../dist/", import.meta.url);
    const packages = new Set<string>();
    const visit = (file: string) => {
      const code = readFileSync(new URL(file, dist), "utf8");
      for (const [, name] of code.matchAll(/^(?:import|\} from|export .* from) ?[^"'()]*["']([^"']+)["'];?$/gm)) {
        if (name!.startsWith("./")) visit(name!.slice(2));
        else if (!isBuiltin(name!)) packages.add(name!);
      }
    };
    visit("cli.js");
    expect([...packages]).toEqual(["commander"]);
  });

  it("ends quietly when the reader of its output leaves", async () => {
    const child = spawn(process.execPath, [script, "--help"], { stdio: ["ignore", "pipe", "pipe"] });
    let words = "";
    child.stderr.on("data", (data: Buffer) => (words += data.toString()));
    child.stdout.destroy();
    await once(child, "close");
    expect(words).toBe("");
  });
});
