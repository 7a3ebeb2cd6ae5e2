import { open, stat, type FileHandle } from "node:fs/promises";
import { join } from "node:path";
import { FileError, UsageError } from "../errors.ts";
import { checkedPath, type Folder } from "./folder.ts";
import { checkAborted, checkRange, shortRead, type ByteSource } from "./source.ts";

/** A file that is held open until it is closed. */
export interface FileSource extends ByteSource {
  readonly readInto: NonNullable<ByteSource["readInto"]>;
  close(): Promise<void>;
}

/** A folder on disk and the files that it has handed out. */
export interface DiskFolder extends Folder {
  close(): Promise<void>;
}

/** A file on disk, read by position, so that reads may overlap. Node only.
 *  @throws {FileError} missing, a folder, or not readable */
export async function fileSource(path: string): Promise<FileSource> {
  const handle = await openFile(path);
  try {
    const info = await handle.stat();
    if (!info.isFile()) throw new FileError(`${path} is ${info.isDirectory() ? "a folder" : "not a regular file"}`);
    return handleSource(path, handle, info.size);
  } catch (error) {
    await handle.close();
    throw error;
  }
}

function handleSource(path: string, handle: FileHandle, size: number): FileSource {
  let closed = false;
  const source: FileSource = {
    name: path,
    size,
    async read(begin, end, signal) {
      checkRange(source, begin, end, signal);
      const target = new Uint8Array(end - begin);
      await source.readInto(target, begin, signal);
      return target;
    },
    async readInto(target, begin, signal) {
      const end = begin + target.byteLength;
      checkRange(source, begin, end, signal);
      if (closed) throw new UsageError(`${path} was closed before bytes ${begin}–${end} were read`);
      for (let got = 0; got < target.byteLength;) {
        const { bytesRead } = await readAt(handle, path, target, got, begin + got);
        checkAborted(signal, path);
        if (bytesRead === 0) throw shortRead(path, begin, end, got);
        got += bytesRead;
      }
    },
    async close() {
      if (closed) return;
      closed = true;
      await handle.close();
    },
  };
  return source;
}

async function readAt(handle: FileHandle, path: string, target: Uint8Array, offset: number, position: number) {
  try {
    return await handle.read(target, offset, target.byteLength - offset, position);
  } catch (cause) {
    throw new FileError(`${path}: reading at byte ${position} failed (${codeOf(cause)})`, undefined, { cause });
  }
}

/** A folder on disk. Symbolic links are followed, as the hub's cache needs. Node only.
 *  @throws {FileError} missing, or a file */
export async function diskFolder(path: string): Promise<DiskFolder> {
  await openFolder(path);
  const opened = new Map<string, Promise<FileSource | undefined>>();
  const openChild = async (child: string): Promise<FileSource | undefined> => {
    const full = join(path, child);
    const info = await stat(full).catch((error: unknown) => {
      if (isMissing(error)) return undefined;
      throw new FileError(`${full} could not be opened (${codeOf(error)})`, undefined, { cause: error });
    });
    return info?.isFile() === true ? fileSource(full) : undefined;
  };
  return {
    name: path,
    file(child) {
      checkedPath(path, child);
      let source = opened.get(child);
      if (source === undefined) opened.set(child, (source = openChild(child)));
      return source;
    },
    async close() {
      const sources = await Promise.all([...opened.values()].map((source) => source.catch(() => undefined)));
      opened.clear();
      await Promise.all(sources.flatMap((source) => (source === undefined ? [] : [source.close()])));
    },
  };
}

/** What a path names: a folder or a file, to be closed by the caller. Node only.
 *  @throws {FileError} neither */
export async function openPath(path: string): Promise<FileSource | DiskFolder> {
  const info = await stat(path).catch(() => undefined);
  return info?.isDirectory() === true ? diskFolder(path) : fileSource(path);
}

async function openFolder(path: string): Promise<void> {
  const info = await stat(path).catch((cause: unknown) => {
    throw new FileError(`${path}: no such folder (${codeOf(cause)})`, "check the path", { cause });
  });
  if (!info.isDirectory()) throw new FileError(`${path} is a file, a folder was expected`);
}

async function openFile(path: string): Promise<FileHandle> {
  try {
    return await open(path, "r");
  } catch (cause) {
    if (isMissing(cause)) throw new FileError(`${path}: no such file`, "check the path", { cause });
    throw new FileError(`${path} could not be opened (${codeOf(cause)})`, undefined, { cause });
  }
}

function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error ? String(error.code) : String(error);
}

function isMissing(error: unknown): boolean {
  return ["ENOENT", "ENOTDIR"].includes(codeOf(error));
}
