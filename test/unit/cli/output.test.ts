import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { UsageError } from "../../../src/errors.ts";
import { checkWritable, OutputError, outputError, writeFileAtomic } from "../../../src/node/output.ts";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "w2sd-output-"));
});
afterEach(() => rm(folder, { recursive: true }));

describe("writeFileAtomic", () => {
  it("writes, replaces, and leaves nothing else", async () => {
    const path = join(folder, "x.png");
    await writeFileAtomic(path, Uint8Array.of(1, 2, 3));
    await writeFileAtomic(path, Uint8Array.of(4, 5));
    expect([...(await readFile(path))]).toEqual([4, 5]);
    expect(await readdir(folder)).toEqual(["x.png"]);
  });

  it("leaves nothing behind when the last step fails", async () => {
    const path = join(folder, "x.png");
    await mkdir(join(path, "something"), { recursive: true });
    await expect(writeFileAtomic(path, Uint8Array.of(1))).rejects.toThrow(OutputError);
    expect(await readdir(folder)).toEqual(["x.png"]);
  });

  it("leaves an old file as it was when the new one cannot be written", async () => {
    const path = join(folder, "x.png");
    await writeFile(path, "old");
    // A value that the system refuses while the temporary file is open.
    await expect(writeFileAtomic(path, {} as Uint8Array)).rejects.toThrow(OutputError);
    expect(await readFile(path, "utf8")).toBe("old");
    expect(await readdir(folder)).toEqual(["x.png"]);
  });

  it("writes through a link, which stays one", async () => {
    await writeFile(join(folder, "real"), "old");
    await symlink("real", join(folder, "link"));
    await writeFileAtomic(join(folder, "link"), "new");
    expect(await readFile(join(folder, "real"), "utf8")).toBe("new");
    expect((await readdir(folder, { withFileTypes: true })).find((e) => e.name === "link")?.isSymbolicLink()).toBe(
      true,
    );
  });

  it.runIf(existsSync("/dev/full"))("says that the disk is full, and never replaces a device", async () => {
    await expect(writeFileAtomic("/dev/full", Uint8Array.of(1, 2, 3))).rejects.toThrow(
      "output '/dev/full' of 3 bytes cannot be written: no space left on the disk",
    );
    await writeFileAtomic("/dev/null", "x");
    expect(await readFile("/dev/null", "utf8")).toBe("");
  });
});

describe("checkWritable", () => {
  it("passes where one may write, and leaves nothing", async () => {
    await checkWritable(join(folder, "x.png"));
    expect(await readdir(folder)).toEqual([]);
  });

  it("refuses a folder that does not exist, by name", async () => {
    const path = join(folder, "no", "x.png");
    await expect(checkWritable(path)).rejects.toThrow(UsageError);
    await expect(checkWritable(path)).rejects.toThrow(`there is no folder '${join(folder, "no")}'`);
  });

  it("refuses a folder as a file", async () => {
    await expect(checkWritable(folder)).rejects.toThrow("is a folder");
  });

  it("refuses a folder where one may not write", async () => {
    // /proc takes no files, not even from root.
    const path = process.platform === "linux" ? "/proc/x.png" : join(folder, "x".repeat(300));
    await expect(checkWritable(path)).rejects.toThrow(OutputError);
  });
});

describe("outputError", () => {
  it.each([
    ["ENOSPC", "no space left on the disk"],
    ["EDQUOT", "the disk quota is used up"],
    ["EACCES", "permission denied"],
    ["EROFS", "the file system is read-only"],
    ["EIO", "i/o error"],
  ])("%s", (code, reason) => {
    const error = outputError("x.png", Object.assign(new Error("i/o error"), { code }), 17);
    expect(error).toBeInstanceOf(OutputError);
    expect(error.exitCode).toBe(1);
    expect(error.message).toContain(`output 'x.png' of 17 bytes cannot be written: ${reason}`);
    expect(error.message).toContain("hint:");
  });
});
