import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

/** One answer of the test server. `path` begins with `/`; `tries` counts the requests for it, from 1. */
export type Answer = (
  request: { path: string; range: string | undefined; tries: number; raw: IncomingMessage },
  response: ServerResponse,
) => void;

export interface TestServer {
  readonly url: string;
  /** `path range` of every request, in order. */
  readonly log: string[];
  readonly requests: IncomingMessage[];
  close(): Promise<void>;
}

/** An HTTP server on 127.0.0.1 whose answers the test writes. */
export async function serve(answer: Answer): Promise<TestServer> {
  const log: string[] = [];
  const requests: IncomingMessage[] = [];
  const tries = new Map<string, number>();
  const server = createServer((raw, response) => {
    const path = raw.url ?? "/";
    log.push(`${path} ${raw.headers.range ?? "-"}`);
    requests.push(raw);
    tries.set(path, (tries.get(path) ?? 0) + 1);
    answer({ path, range: raw.headers.range, tries: tries.get(path)!, raw }, response);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    log,
    requests,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

/** Sends the part of `bytes` that a simple range asks for, as a server with ranges does. */
export function sendRange(bytes: Uint8Array, range: string | undefined, response: ServerResponse): void {
  const asked = /^bytes=(\d+)-(\d+)$/.exec(range ?? "");
  if (asked === null) {
    response.writeHead(200, { "content-length": bytes.length }).end(bytes);
    return;
  }
  const begin = Number(asked[1]);
  const end = Math.min(bytes.length, Number(asked[2]) + 1);
  if (begin >= bytes.length) {
    response.writeHead(416, { "content-range": `bytes */${bytes.length}` }).end();
    return;
  }
  const headers = { "content-range": `bytes ${begin}-${end - 1}/${bytes.length}`, "content-length": end - begin };
  response.writeHead(206, headers).end(bytes.subarray(begin, end));
}
