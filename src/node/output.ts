import { rmSync } from "node:fs";
import { open, realpath, rename, rm, stat, unlink } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { UsageError, W2sdError } from "../errors.ts";

/** A result could not be written: no space, no permission, a broken disk. */
export class OutputError extends W2sdError {}

/** Files being written, so that a process that ends in the middle takes them along. */
const parts = new Set<string>();
let watching = false;

function partOf(path: string): string {
  if (!watching) process.on("exit", () => parts.forEach((part) => rmSync(part, { force: true })));
  watching = true;
  return join(dirname(path), `.${basename(path)}.${process.pid}.part`);
}

/** The file behind a link: the link stays one. */
async function realTarget(path: string): Promise<string> {
  return realpath(path).catch(() => path);
}

/** Fails now rather than after minutes of computing if `path` cannot be written.
 *  @throws {UsageError} its folder is missing, or it is a folder itself   @throws {OutputError} it may not be written */
export async function checkWritable(path: string): Promise<void> {
  const there = await stat(path).catch(() => undefined);
  if (there?.isDirectory()) throw new UsageError(`output '${path}' is a folder`, "name a file in it");
  const folder = await stat(dirname(path)).catch(() => undefined);
  if (!folder?.isDirectory()) {
    throw new UsageError(
      `output '${path}': there is no folder '${dirname(path)}'`,
      "make it first, or write elsewhere",
    );
  }
  if (there && !there.isFile()) return;
  const part = partOf(await realTarget(path));
  try {
    const file = await open(part, "wx");
    await file.close();
    await unlink(part);
  } catch (cause) {
    throw outputError(path, cause);
  }
}

/** Writes a file whole or not at all: under a temporary name beside it, flushed to the disk, then renamed.
 *  @throws {OutputError} what the disk or the system said, with nothing left behind */
export async function writeFileAtomic(path: string, bytes: Uint8Array | string): Promise<void> {
  const target = await realTarget(path);
  // A device or a pipe is written to, never replaced by a file.
  const special = await stat(target).then(
    (there) => !there.isFile(),
    () => false,
  );
  const part = special ? target : partOf(target);
  if (!special) parts.add(part);
  try {
    const file = await open(part, "w");
    try {
      await file.writeFile(bytes);
      if (!special) await file.sync();
    } finally {
      await file.close();
    }
    if (!special) await rename(part, target);
  } catch (cause) {
    if (!special) await rm(part, { force: true });
    throw outputError(path, cause, bytes.length);
  } finally {
    parts.delete(part);
  }
}

const reasons: Record<string, readonly [reason: string, hint: string]> = {
  ENOSPC: ["no space left on the disk", "free some, or write to another disk"],
  EDQUOT: ["the disk quota is used up", "free some, or write to another disk"],
  EACCES: ["permission denied", "choose a folder that you may write to"],
  EPERM: ["permission denied", "choose a folder that you may write to"],
  EROFS: ["the file system is read-only", "write to another disk"],
  ENAMETOOLONG: ["the name is too long", "choose a shorter one"],
};

/** The error for a failed write of `bytes` bytes to `path`. */
export function outputError(path: string, cause: unknown, bytes?: number): OutputError {
  const { code = "", message } = cause as NodeJS.ErrnoException;
  const [reason, hint] = reasons[code] ?? [message, "nothing was left behind; fix the cause and run again"];
  const what = bytes === undefined ? `output '${path}'` : `output '${path}' of ${bytes} bytes`;
  return new OutputError(`${what} cannot be written: ${reason}`, hint, { cause });
}
