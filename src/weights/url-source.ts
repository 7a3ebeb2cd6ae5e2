import { AbortError, FileError } from "../errors.ts";
import { bytesSource, checkAborted, checkRange, shortRead, type ByteSource } from "./source.ts";

export interface UrlOptions {
  /** Name in messages; the last part of the URL by default. */
  readonly name?: string;
  /** Sent with every request. In a page, anything not on Fetch's short list costs a preflight that many hosts refuse. */
  readonly headers?: Readonly<Record<string, string>>;
  /** Tries after the first when the network or the server fails for the moment. */
  readonly retries?: number;
  /** Wait before the first retry in ms; doubles each time. */
  readonly retryMs?: number;
  readonly fetch?: typeof fetch;
  readonly signal?: AbortSignal;
}

/** Largest file that is taken whole from a server that does not do ranges. */
export const maxWholeBytes = 16 * 1024 * 1024;

/** Longest wait in ms that a server's Retry-After is granted. */
const maxWaitMs = 10_000;

/** A file behind HTTP, read with one `Range: bytes=a-b` a read: the only form that needs no CORS preflight.
 *
 *  Every read asks at the given URL again and follows its redirects, because hubs redirect to signed addresses that expire.
 *  The size comes from `Content-Range`: Content-Length lies behind compression and is often hidden by CORS.
 *  @throws {FileError} missing, not permitted, or a server without ranges and more than 16 MiB */
export async function urlSource(url: string | URL, options: UrlOptions = {}): Promise<ByteSource> {
  const source = await openUrl(url, options);
  if (source === undefined)
    throw new FileError(`${String(url)}: no such file (404)`, "check the address and the revision");
  return source;
}

/** As `urlSource`, but `undefined` where the server says that there is no such file. */
export async function openUrl(url: string | URL, options: UrlOptions = {}): Promise<ByteSource | undefined> {
  const address = String(url);
  const name = options.name ?? nameOf(address);
  const probed = await retrying(name, options, options.signal, async () => {
    const response = await ask(address, 0, 1, options, options.signal);
    if (response.status === 206) {
      const total = totalOf(response);
      await response.body?.cancel();
      return total ?? refuseSize(address, response);
    }
    // An empty file has no byte 0: the server says so with its size.
    if (response.status === 416) {
      await response.body?.cancel();
      return totalOf(response) ?? refuseSize(address, response);
    }
    if (response.status === 200) return wholeFile(response, address);
    const missing =
      response.status === 404 && (response.headers.get("x-error-code") ?? "EntryNotFound") === "EntryNotFound";
    await response.body?.cancel();
    if (missing) return undefined;
    throw refusal(response, address);
  });
  if (probed === undefined) return undefined;
  if (typeof probed !== "number") return bytesSource(name, probed);
  return rangeSource(address, name, probed, options);
}

function rangeSource(address: string, name: string, size: number, options: UrlOptions): ByteSource {
  const source: ByteSource = {
    name,
    size,
    async read(begin, end, signal) {
      checkRange(source, begin, end, signal);
      const target = new Uint8Array(end - begin);
      await source.readInto!(target, begin, signal);
      return target;
    },
    async readInto(target, begin, signal) {
      const end = begin + target.byteLength;
      checkRange(source, begin, end, signal);
      if (begin === end) return;
      await retrying(name, options, signal, async () => {
        const response = await ask(address, begin, end, options, signal);
        // Some servers answer the range that is the whole file with the whole file.
        const whole = response.status === 200 && begin === 0 && end === size;
        if (response.status !== 206 && !whole) {
          await response.body?.cancel();
          throw refusal(response, address);
        }
        if (!whole) await checkContentRange(response, name, begin, end, size);
        const got = await fill(target, response, name);
        if (got !== target.byteLength) throw new Transient(shortRead(name, begin, end, got));
      });
    },
  };
  return source;
}

async function checkContentRange(response: Response, name: string, begin: number, end: number, size: number) {
  const sent = response.headers.get("content-range") ?? "";
  const range = /^bytes (\d+)-\d+\/(\d+)$/.exec(sent);
  if (range !== null && Number(range[1]) === begin && Number(range[2]) === size) return;
  await response.body?.cancel();
  throw new FileError(
    `${name}: bytes ${begin}–${end} of ${size} asked for, the server sent '${sent}'`,
    "the file changed on the server while it was being read: start again",
  );
}

/** A failure that may pass: tried again, and when it does not pass, thrown as what it wraps. */
class Transient extends Error {
  readonly error: FileError;
  readonly waitMs: number | undefined;
  constructor(error: FileError, waitMs?: number) {
    super(error.message);
    this.error = error;
    this.waitMs = waitMs;
  }
}

async function retrying<T>(
  name: string,
  options: UrlOptions,
  signal: AbortSignal | undefined,
  attempt: () => Promise<T>,
): Promise<T> {
  const { retries = 3, retryMs = 250 } = options;
  for (let tried = 0; ; tried++) {
    checkAborted(signal, name);
    try {
      return await attempt();
    } catch (error) {
      checkAborted(signal, name);
      if (!(error instanceof Transient)) throw error;
      if (tried >= retries) throw error.error;
      await pause(Math.min(maxWaitMs, error.waitMs ?? retryMs * 2 ** tried), signal);
    }
  }
}

function pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve) => {
    const finish = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", finish);
      resolve();
    };
    const timer = setTimeout(finish, ms);
    signal?.addEventListener("abort", finish);
  });
}

/** One ranged request. Failures that may pass come out as `Transient`; other answers are the caller's. */
async function ask(
  address: string,
  begin: number,
  end: number,
  options: UrlOptions,
  signal: AbortSignal | undefined,
): Promise<Response> {
  const { headers = {}, fetch: send = fetch } = options;
  let response: Response;
  try {
    response = await send(address, {
      headers: { ...headers, Range: `bytes=${begin}-${end - 1}` },
      ...(signal === undefined ? {} : { signal }),
    });
  } catch (cause) {
    if (signal?.aborted === true) throw new AbortError(`reading ${address} was stopped`, undefined, { cause });
    throw new Transient(
      new FileError(
        `${address}: the request failed (${causeText(cause)})`,
        "check the address and the connection; in a page, the server must allow the page's origin (CORS)",
        { cause },
      ),
    );
  }
  const { status } = response;
  // A signed address behind a redirect has expired: asking at the first address again gets a fresh one.
  const expired = status === 403 && response.redirected;
  if (status === 408 || status === 425 || status === 429 || status >= 500 || expired) {
    await response.body?.cancel();
    const after = Number(response.headers.get("retry-after") ?? Number.NaN);
    throw new Transient(refusal(response, address), Number.isFinite(after) && after >= 0 ? after * 1000 : undefined);
  }
  return response;
}

function causeText(error: unknown): string {
  const inner = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  return inner instanceof Error ? inner.message : String(inner);
}

/** Reads the body into `target` and returns how many bytes came; a body that goes on beyond it is refused. */
async function fill(target: Uint8Array, response: Response, name: string): Promise<number> {
  const reader = response.body?.getReader();
  let got = 0;
  while (reader !== undefined) {
    let piece: Uint8Array;
    try {
      const { done, value } = await reader.read();
      if (done) break;
      piece = value;
    } catch (cause) {
      throw new Transient(shortRead(name, 0, target.byteLength, got, cause));
    }
    if (got + piece.byteLength > target.byteLength) {
      await reader.cancel();
      throw new FileError(`${name}: ${target.byteLength} bytes asked for, the server sent more`);
    }
    target.set(piece, got);
    got += piece.byteLength;
  }
  return got;
}

/** The whole body of a server that ignored the range, if it is small. */
async function wholeFile(response: Response, address: string): Promise<Uint8Array> {
  const announced = Number(response.headers.get("content-length") ?? 0);
  const reader = response.body?.getReader();
  const pieces: Uint8Array[] = [];
  let got = 0;
  while (reader !== undefined && Math.max(got, announced) <= maxWholeBytes) {
    let next: ReadableStreamReadResult<Uint8Array>;
    try {
      next = await reader.read();
    } catch (cause) {
      throw new Transient(new FileError(`${address}: the answer broke off after ${got} bytes`, undefined, { cause }));
    }
    if (next.done) {
      const whole = new Uint8Array(got);
      let at = 0;
      for (const piece of pieces) {
        whole.set(piece, at);
        at += piece.byteLength;
      }
      return whole;
    }
    pieces.push(next.value);
    got += next.value.byteLength;
  }
  if (reader === undefined) return new Uint8Array(0);
  await reader.cancel();
  throw new FileError(
    `${address}: the server ignores Range requests, and the file is over ${maxWholeBytes} bytes`,
    "weights are read in pieces: use a server with Range support, or load the file from disk",
  );
}

/** The total in `Content-Range: bytes a-b/total`. */
function totalOf(response: Response): number | undefined {
  const total = /\/(\d+)$/.exec(response.headers.get("content-range") ?? "")?.[1];
  return total !== undefined && Number.isSafeInteger(Number(total)) ? Number(total) : undefined;
}

function refuseSize(address: string, response: Response): never {
  throw new FileError(
    `${address}: the server answers ranges (${response.status}) but does not show the file's size`,
    "it must send Content-Range, and to a page also Access-Control-Expose-Headers: Content-Range",
  );
}

/** The error for an answer that is no file. */
function refusal(response: Response, address: string): FileError {
  const { status } = response;
  const code = response.headers.get("x-error-code");
  const said = `${address}: the server answered ${status}${code === null ? "" : ` (${code})`}`;
  if (code === "GatedRepo") {
    return new FileError(said, "the model is gated: accept its licence on its page, then use an access token");
  }
  if (code === "RepoNotFound" || code === "RevisionNotFound") {
    return new FileError(said, "check the model's name and revision; a private model needs an access token");
  }
  if (status === 401 || status === 403) {
    return new FileError(said, "the file is not public: an access token or a licence click is needed");
  }
  if (status === 404) return new FileError(said, "check the address and the revision");
  if (status === 200) return new FileError(said, "it stopped answering Range requests half-way: try again");
  if (status === 429) return new FileError(said, "too many requests: wait a while");
  return new FileError(said, status >= 500 ? "the server is in trouble: try again later" : undefined);
}

function nameOf(address: string): string {
  const path = address.split(/[?#]/, 1)[0]!;
  return decodeURIComponentSafely(path.slice(path.lastIndexOf("/") + 1)) || address;
}

function decodeURIComponentSafely(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
