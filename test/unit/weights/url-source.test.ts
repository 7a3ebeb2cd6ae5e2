import { afterEach, describe, expect, test } from "vitest";
import { AbortError, FileError } from "../../../src/errors.ts";
import { hubUrl, readJson, urlFolder } from "../../../src/weights/folder.ts";
import { chunks } from "../../../src/weights/source.ts";
import { maxWholeBytes, openUrl, urlSource } from "../../../src/weights/url-source.ts";
import { sendRange, serve, type Answer, type TestServer } from "./http-server.ts";

const bytes = Uint8Array.from({ length: 5000 }, (_, i) => (i * 31) % 256);
const quick = { retryMs: 1 };
const ranged: Answer = ({ range }, response) => sendRange(bytes, range, response);

let servers: TestServer[] = [];
async function start(answer: Answer): Promise<TestServer> {
  const server = await serve(answer);
  servers.push(server);
  return server;
}
afterEach(async () => {
  await Promise.all(servers.map((server) => server.close()));
  servers = [];
});

describe("a server with ranges", () => {
  test("size by bytes=0-0, then one simple range a read", async () => {
    const server = await start(ranged);
    const source = await urlSource(`${server.url}/models/my%20model.safetensors?download=true`);
    expect(source.size).toBe(5000);
    expect(source.name).toBe("my model.safetensors");
    expect(await source.read(0, 8)).toEqual(bytes.slice(0, 8));
    expect(await source.read(4990, 5000)).toEqual(bytes.slice(4990));
    expect(await source.read(7, 7)).toEqual(new Uint8Array(0));
    expect(server.log.map((line) => line.split(" ")[1])).toEqual(["bytes=0-0", "bytes=0-7", "bytes=4990-4999"]);
  });

  test("concurrent reads and chunks", async () => {
    const server = await start(ranged);
    const source = await urlSource(`${server.url}/m`);
    const pieces = await Promise.all(Array.from({ length: 20 }, (_, i) => source.read(i * 200, i * 200 + 333)));
    pieces.forEach((piece, i) => expect(piece).toEqual(bytes.slice(i * 200, i * 200 + 333)));
    const all: number[] = [];
    for await (const piece of chunks(source, 100, 4900, 1000)) all.push(...piece);
    expect(all).toEqual([...bytes.slice(100, 4900)]);
  });

  test("redirects are followed anew for every read", async () => {
    const server = await start(({ path, range }, response) => {
      if (path === "/resolve") response.writeHead(302, { location: "/signed?token=1" }).end();
      else sendRange(bytes, range, response);
    });
    const source = await urlSource(`${server.url}/resolve`);
    expect(await source.read(10, 20)).toEqual(bytes.slice(10, 20));
    expect(server.log.map((line) => line.split(" ")[0])).toEqual([
      "/resolve",
      "/signed?token=1",
      "/resolve",
      "/signed?token=1",
    ]);
  });

  test("a signed address that has expired is resolved again", async () => {
    let signed = 0;
    const server = await start(({ path, range }, response) => {
      if (path === "/resolve") response.writeHead(302, { location: `/signed${++signed}` }).end();
      else if (path === "/signed2") response.writeHead(403).end("expired");
      else sendRange(bytes, range, response);
    });
    const source = await urlSource(`${server.url}/resolve`, quick);
    expect(await source.read(10, 20)).toEqual(bytes.slice(10, 20));
    expect(signed).toBe(3);
  });

  test("a token goes to the host it was given for, not across a redirect to another", async () => {
    const store = await start(ranged);
    const hub = await start((_, response) => response.writeHead(302, { location: `${store.url}/blob` }).end());
    const source = await urlSource(`${hub.url}/m`, { headers: { Authorization: "Bearer secret" } });
    await source.read(0, 4);
    expect(hub.requests.map((r) => r.headers.authorization)).toEqual(["Bearer secret", "Bearer secret"]);
    expect(store.requests.map((r) => r.headers.authorization)).toEqual([undefined, undefined]);
  });

  test("an empty file", async () => {
    const server = await start(({ range }, response) => sendRange(new Uint8Array(0), range, response));
    const source = await urlSource(`${server.url}/empty`);
    expect(source.size).toBe(0);
    expect(await source.read(0, 0)).toEqual(new Uint8Array(0));
  });

  test("the whole file may come as 200 when the range is the whole file", async () => {
    const server = await start(({ range }, response) => {
      if (range === "bytes=0-4999") response.writeHead(200).end(bytes);
      else sendRange(bytes, range, response);
    });
    expect(await (await urlSource(`${server.url}/m`)).read(0, 5000)).toEqual(bytes);
  });

  test("no size in the answer is refused with what the server must send", async () => {
    for (const range of ["bytes 0-0/*", ""]) {
      const server = await start((_, response) =>
        response.writeHead(206, range === "" ? {} : { "content-range": range }).end("x"),
      );
      await expect(urlSource(`${server.url}/m`, quick)).rejects.toThrow(
        /does not show the file's size[\s\S]*hint: .*Content-Range/,
      );
    }
  });

  test.each([
    ["another part", "bytes 5-9/5000"],
    ["another size", "bytes 0-4/6000"],
    ["no range", "nonsense"],
  ])("an answer with %s is refused, not used", async (_, said) => {
    const server = await start(({ range }, response) => {
      if (range === "bytes=0-0") sendRange(bytes, range, response);
      else response.writeHead(206, { "content-range": said }).end(bytes.subarray(0, 5));
    });
    const source = await urlSource(`${server.url}/m`, quick);
    await expect(source.read(0, 5)).rejects.toThrow(/changed on the server/);
  });

  test("more bytes than asked for are refused", async () => {
    const server = await start(({ range }, response) => {
      if (range === "bytes=0-0") sendRange(bytes, range, response);
      else response.writeHead(206, { "content-range": "bytes 0-4/5000" }).end(bytes);
    });
    const source = await urlSource(`${server.url}/m`, quick);
    await expect(source.read(0, 5)).rejects.toThrow(/5 bytes asked for, the server sent more/);
  });
});

describe("a server without ranges", () => {
  test("a small file is kept whole", async () => {
    const server = await start((_, response) => response.writeHead(200).end(bytes));
    const source = await urlSource(`${server.url}/config.json`);
    expect(source.size).toBe(5000);
    expect(await source.read(100, 200)).toEqual(bytes.slice(100, 200));
    expect(server.log).toHaveLength(1);
  });

  test("a file of exactly the limit is kept, one byte more is refused with a hint", async () => {
    const limit = Buffer.alloc(maxWholeBytes + 1);
    const server = await start(({ path }, response) => {
      // Announced or chunked, the count of what comes decides.
      const body = path.startsWith("/over") ? limit : limit.subarray(1);
      response.writeHead(200, path.endsWith("-announced") ? { "content-length": body.length } : {}).end(body);
    });
    expect((await urlSource(`${server.url}/exact`)).size).toBe(maxWholeBytes);
    for (const path of ["/over", "/over-announced"]) {
      await expect(urlSource(server.url + path)).rejects.toThrow(/ignores Range requests[\s\S]*hint: .*Range support/);
    }
  });

  test("ranges that stop half-way are refused", async () => {
    const server = await start(({ range, tries }, response) => {
      if (tries === 1) sendRange(bytes, range, response);
      else response.writeHead(200).end(bytes);
    });
    const source = await urlSource(`${server.url}/m`, quick);
    await expect(source.read(10, 20)).rejects.toThrow(/answered 200[\s\S]*Range/);
  });
});

describe("answers that are no file", () => {
  test.each([
    [404, {}, /\/m: no such file \(404\)[\s\S]*hint: check the address/],
    [404, { "x-error-code": "EntryNotFound" }, /no such file/],
    [404, { "x-error-code": "RevisionNotFound" }, /RevisionNotFound[\s\S]*name and revision/],
    [401, { "x-error-code": "RepoNotFound" }, /401 \(RepoNotFound\)[\s\S]*name and revision/],
    [401, { "x-error-code": "GatedRepo" }, /gated: accept its licence/],
    [403, { "x-error-code": "GatedRepo" }, /gated: accept its licence/],
    [401, {}, /401[\s\S]*hint: the file is not public/],
    [403, {}, /403[\s\S]*hint: the file is not public/],
    [400, {}, /answered 400/],
  ])("%d %j", async (status, headers, message) => {
    const server = await start((_, response) => response.writeHead(status, headers).end("no"));
    const asking = urlSource(`${server.url}/m`, quick);
    await expect(asking).rejects.toThrow(FileError);
    await expect(asking).rejects.toThrow(message);
    expect(server.log).toHaveLength(1);
  });

  test("openUrl answers a missing file with undefined, and nothing else", async () => {
    const server = await start(({ path }, response) => response.writeHead(path === "/404" ? 404 : 403).end());
    expect(await openUrl(`${server.url}/404`, quick)).toBeUndefined();
    await expect(openUrl(`${server.url}/403`, quick)).rejects.toThrow(FileError);
  });
});

describe("failures that pass", () => {
  test.each([408, 429, 500, 502, 503])("%d is tried again", async (status) => {
    const server = await start(({ tries, range }, response) => {
      if (tries < 3) response.writeHead(status, { "retry-after": "0" }).end();
      else sendRange(bytes, range, response);
    });
    expect((await urlSource(`${server.url}/m`, quick)).size).toBe(5000);
    expect(server.log).toHaveLength(3);
  });

  test("a body cut short and a broken connection are tried again", async () => {
    const server = await start(({ range, tries }, response) => {
      if (tries === 2) {
        response.writeHead(206, { "content-range": "bytes 0-99/5000", "content-length": 100 });
        response.write(bytes.subarray(0, 40), () => response.destroy());
      } else if (tries === 3) {
        response.writeHead(206, { "content-range": "bytes 0-99/5000" }).end(bytes.subarray(0, 60));
      } else if (tries === 4) response.destroy();
      else sendRange(bytes, range, response);
    });
    const source = await urlSource(`${server.url}/m`, quick);
    expect(await source.read(0, 100)).toEqual(bytes.slice(0, 100));
    expect(server.log).toHaveLength(5);
  });

  test("not for ever: a body that is always short is a FileError with both numbers", async () => {
    const server = await start(({ range }, response) => {
      if (range === "bytes=0-0") sendRange(bytes, range, response);
      else response.writeHead(206, { "content-range": "bytes 20-119/5000" }).end(bytes.subarray(20, 80));
    });
    const source = await urlSource(`${server.url}/m`, { ...quick, retries: 2 });
    const reading = source.read(20, 120);
    await expect(reading).rejects.toThrow(FileError);
    await expect(reading).rejects.toThrow(/m: 100 bytes asked for at 20, 60 came/);
    expect(server.log).toHaveLength(1 + 3);
  });

  test("not for ever: a server in trouble, and one that is not there", async () => {
    const server = await start((_, response) => response.writeHead(503).end());
    await expect(urlSource(`${server.url}/m`, { ...quick, retries: 1 })).rejects.toThrow(/503[\s\S]*try again later/);
    expect(server.log).toHaveLength(2);
    const { url } = server;
    await server.close();
    await expect(urlSource(`${url}/m`, { ...quick, retries: 1 })).rejects.toThrow(
      /the request failed[\s\S]*connection/,
    );
  });

  test("aborting ends the wait between tries, and a read under way", async () => {
    const server = await start(({ path, range }, response) => {
      if (path === "/busy") response.writeHead(503, { "retry-after": "9" }).end();
      else if (range === "bytes=0-0") sendRange(bytes, range, response);
      // Otherwise no answer ever.
    });
    const begun = performance.now();
    const busy = new AbortController();
    const asking = urlSource(`${server.url}/busy`, { signal: busy.signal });
    setTimeout(() => busy.abort(), 30);
    await expect(asking).rejects.toThrow(AbortError);

    const source = await urlSource(`${server.url}/m`, quick);
    const silent = new AbortController();
    const reading = source.read(5, 10, silent.signal);
    setTimeout(() => silent.abort(), 30);
    await expect(reading).rejects.toThrow(AbortError);
    expect(performance.now() - begun).toBeLessThan(5000);
  });
});

describe("a folder behind a URL", () => {
  test("looks each file up once, under the base with its query", async () => {
    const server = await start(({ path, range }, response) => {
      if (path === "/org/name/resolve/refs%2Fpr%2F1/unet/config.json?x=1")
        sendRange(Buffer.from('{"a":1}'), range, response);
      else response.writeHead(404).end();
    });
    const folder = urlFolder(`${hubUrl("org/name", "refs/pr/1", server.url)}?x=1`, quick);
    const [a, b] = await Promise.all([folder.file("unet/config.json"), folder.file("unet/config.json")]);
    expect(a).toBe(b);
    expect(await readJson(folder, "unet/config.json")).toEqual({ a: 1 });
    expect(await folder.file("vae/config.json")).toBeUndefined();
    expect(await folder.file("vae/config.json")).toBeUndefined();
    expect(server.log.filter((line) => line.includes("bytes=0-0"))).toHaveLength(2);
    await expect(async () => folder.file("../secret")).rejects.toThrow(FileError);
  });

  test("a look-up that failed is tried again the next time", async () => {
    const server = await start(({ tries, range }, response) => {
      if (tries === 1) response.writeHead(403).end();
      else sendRange(bytes, range, response);
    });
    const folder = urlFolder(server.url, quick);
    await expect(folder.file("m")).rejects.toThrow(FileError);
    expect((await folder.file("m"))!.size).toBe(5000);
  });

  test("the hub's address", () => {
    expect(hubUrl("org/name")).toBe("https://huggingface.co/org/name/resolve/main");
  });
});
