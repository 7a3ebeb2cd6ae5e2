import { readFile } from "node:fs/promises";
import { request } from "node:http";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { serve, type Served } from "../../scripts/serve.mjs";

// The server of the page and of these tests: only what it is told to serve, only to this machine, ranges as RFC 9110 has them.
let served: Served;
let whole: Buffer;
beforeAll(async () => {
  served = await serve({
    folders: ["assets", "test/golden/models"],
    files: { "/made": { headers: { "content-type": "text/plain" }, body: "made" } },
  });
  whole = await readFile(new URL("../../assets/clip-merges.txt", import.meta.url));
});
afterAll(() => served.close());

interface Answer {
  readonly status: number;
  readonly headers: Record<string, string | string[] | undefined>;
  readonly body: Buffer;
}

/** Asks for a path as it is written: `fetch` would tidy it first. */
function ask(path: string, headers: Record<string, string> = {}, method = "GET"): Promise<Answer> {
  const { hostname, port } = new URL(served.url);
  return new Promise((resolve, reject) => {
    request({ hostname, port, path, headers, method }, (response) => {
      const pieces: Buffer[] = [];
      response.on("data", (piece: Buffer) => pieces.push(piece));
      response.on("end", () =>
        resolve({ status: response.statusCode!, headers: response.headers, body: Buffer.concat(pieces) }),
      );
    })
      .on("error", reject)
      .end();
  });
}

const merges = "/assets/clip-merges.txt";

it("listens on this machine only", () => {
  expect(served.url).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/);
});

it("sends a file whole", async () => {
  const { status, headers, body } = await ask(merges);
  expect(status).toBe(200);
  expect(headers).toMatchObject({ "accept-ranges": "bytes", "content-length": String(whole.length) });
  expect(body.equals(whole)).toBe(true);
  expect((await ask("/made")).body.toString()).toBe("made");
});

describe("ranges", () => {
  it.each([
    ["bytes=0-0", 0, 1],
    ["bytes=10-19", 10, 20],
    ["bytes=500000-", 500_000, undefined],
    ["bytes=-5", -5, undefined],
    ["bytes=100-99999999", 100, undefined],
  ])("%s", async (range, begin, end) => {
    const { status, headers, body } = await ask(merges, { range });
    const expected = whole.subarray(begin, end);
    const first = begin < 0 ? whole.length + begin : begin;
    expect(status).toBe(206);
    expect(headers["content-range"]).toBe(`bytes ${first}-${first + expected.length - 1}/${whole.length}`);
    expect(body.equals(expected)).toBe(true);
  });

  it.each(["bytes=99999999-", "bytes=-0"])("%s: not satisfiable", async (range) => {
    const { status, headers } = await ask(merges, { range });
    expect([status, headers["content-range"]]).toEqual([416, `bytes */${whole.length}`]);
  });

  it.each(["bytes=5-2", "bytes=0-1,4-5", "lines=1-2", "bytes=-"])("%s: ignored", async (range) => {
    expect((await ask(merges, { range })).status).toBe(200);
  });
});

describe("not found", () => {
  it.each([
    ["a folder", "/assets/"],
    ["a folder without its slash", "/assets"],
    ["the root", "/"],
    ["a file of the project outside the folders", "/package.json"],
    ["a folder whose name begins like one that is served", "/test/golden/models-of-others/x"],
    ["upward", "/assets/../package.json"],
    ["upward, escaped", "/assets/%2e%2e/package.json"],
    ["upward, escaped separators", "/assets/..%2fpackage.json"],
    ["upward with backslashes", "/assets/..%5cpackage.json"],
    ["a name that begins with a dot", "/assets/.hidden"],
    ["a NUL", "/assets/clip-merges.txt%00.png"],
    ["an escape that is none", "/assets/%zz"],
    ["an empty part", "/assets//clip-merges.txt"],
  ])("%s", async (_, path) => {
    const { status, body } = await ask(path);
    expect([status, body.length]).toEqual([404, 0]);
  });
});

it("refuses names that were made to lead here, and other methods", async () => {
  expect((await ask(merges, { host: "evil.example:80" })).status).toBe(403);
  expect((await ask(merges, {}, "POST")).status).toBe(405);
  const head = await ask(merges, {}, "HEAD");
  expect([head.status, head.headers["content-length"], head.body.length]).toEqual([200, String(whole.length), 0]);
});

it("lets no other origin read", async () => {
  const { headers } = await ask(merges, { origin: "http://evil.example" });
  expect(headers["access-control-allow-origin"]).toBeUndefined();
});
