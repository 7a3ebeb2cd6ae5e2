import { FileError } from "../errors.ts";
import { quote } from "./show.ts";
import { blobSource, type ByteSource } from "./source.ts";
import { openUrl, type UrlOptions } from "./url-source.ts";

/** A model's folder, wherever it is: on disk, on a server, or picked in a page. */
export interface Folder {
  readonly name: string;
  /** The file at a relative path with `/` between its parts; `undefined` if there is none. */
  file(path: string, signal?: AbortSignal): Promise<ByteSource | undefined>;
  /** Lets go of what it holds open, where it holds anything. */
  close?(): Promise<void>;
}

/** Largest JSON or text file that is read; CLIP's vocab.json has 1 MB. */
export const maxTextBytes = 64 * 1024 * 1024;

/** The files under a base URL, such as `https://huggingface.co/{id}/resolve/{revision}`. Each is looked up once.
 *  @see UrlOptions for headers and retries */
export function urlFolder(base: string | URL, options: Omit<UrlOptions, "name" | "signal"> = {}): Folder {
  const root = new URL(base);
  if (!root.pathname.endsWith("/")) root.pathname += "/";
  const found = new Map<string, Promise<ByteSource | undefined>>();
  const name = String(base);
  return {
    name,
    file(path, signal) {
      checkedPath(name, path);
      let source = found.get(path);
      if (source === undefined) {
        const url = new URL(root);
        url.pathname += path.split("/").map(encodeURIComponent).join("/");
        source = openUrl(url, { ...options, name: path, ...(signal === undefined ? {} : { signal }) });
        found.set(path, source);
        // A failed look-up may succeed later: only answers are kept.
        source.catch(() => found.delete(path));
      }
      return source;
    },
  };
}

/** The address of a model repository's files on the Hugging Face hub or a mirror of it. */
export function hubUrl(id: string, revision = "main", endpoint = "https://huggingface.co"): string {
  return `${endpoint}/${id}/resolve/${encodeURIComponent(revision)}`;
}

/** Files that a person picked or dropped. A folder picked in a page gives each file its `webkitRelativePath`, which begins
 *  with that folder's name: that part is left out. */
export function filesFolder(files: Iterable<File>): Folder {
  const list = [...files];
  const paths = list.map((file) => file.webkitRelativePath || file.name);
  const top = paths[0]?.split("/", 1)[0];
  const nested = top !== undefined && paths.every((path) => path.startsWith(`${top}/`));
  const inside = nested ? paths.map((path) => path.slice(top.length + 1)) : paths;
  return mapFolder(nested ? top : "picked files", new Map(inside.map((path, i) => [path, list[i]!])));
}

/** Blobs or sources by relative path. */
export function mapFolder(name: string, files: ReadonlyMap<string, Blob | ByteSource>): Folder {
  return {
    name,
    async file(path) {
      checkedPath(name, path);
      const file = files.get(path);
      // By what it can do: a Blob of another frame is no instance of this frame's Blob.
      return file === undefined || "read" in file ? file : blobSource(file, path);
    },
  };
}

/** The path itself. Paths come from index files too, so they must not lead out of the folder.
 *  @throws {FileError} absolute, upward, or empty parts */
export function checkedPath(folder: string, path: string): string {
  const parts = path.split("/");
  const plain = parts.every((part) => part !== "" && part !== "." && part !== ".." && !/[\\:\0]/.test(part));
  if (!plain) throw new FileError(`${folder}: ${quote(path)} is no path within the folder`);
  return path;
}

/** A whole text file.
 *  @throws {FileError} over 64 MiB, or not UTF-8 */
export async function readText(source: ByteSource, signal?: AbortSignal): Promise<string> {
  if (source.size > maxTextBytes) {
    throw new FileError(`${source.name}: ${source.size} bytes, at most ${maxTextBytes} are read as text`);
  }
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(await source.read(0, source.size, signal));
  } catch (cause) {
    if (cause instanceof TypeError) throw new FileError(`${source.name} is not UTF-8 text`, undefined, { cause });
    throw cause;
  }
}

/** A file that holds one JSON object, or `undefined` if there is no such file.
 *  @throws {FileError} anything else in it */
export async function readJson(
  folder: Folder,
  path: string,
  signal?: AbortSignal,
): Promise<Record<string, unknown> | undefined> {
  const source = await folder.file(path, signal);
  if (source === undefined) return undefined;
  const text = await readText(source, signal);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    const page = text.trimStart().startsWith("<") ? "it looks like a web page: check the address" : undefined;
    throw new FileError(`${folder.name}: ${path} is not JSON (${(cause as Error).message})`, page, { cause });
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new FileError(
      `${folder.name}: ${path} holds ${JSON.stringify(value).slice(0, 40)}, a JSON object was expected`,
    );
  }
  return value as Record<string, unknown>;
}
