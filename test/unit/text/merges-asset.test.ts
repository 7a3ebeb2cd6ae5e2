import { createServer } from "node:http";
import { describe, expect, it } from "vitest";
import { FileError } from "../../../src/errors.ts";
import { fetchedMerges } from "../../../src/text/merges-asset.ts";
import { mergesFromDisk } from "../../../src/text/merges-asset-node.ts";

describe("fetchedMerges", () => {
  it("asks once, and again after a failure", async () => {
    const asked: string[] = [];
    const server = createServer((request, response) => {
      asked.push(request.url ?? "");
      response.statusCode = asked.length === 1 ? 503 : 200;
      response.end("i n\n");
    });
    await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
    const address = server.address();
    const port = typeof address === "object" && address ? address.port : 0;
    try {
      const load = fetchedMerges(`http://127.0.0.1:${port}/clip-merges.txt`);
      expect(asked).toEqual([]);
      await expect(load()).rejects.toThrow(/clip-merges\.txt: HTTP 503/);
      expect(await Promise.all([load(), load()])).toEqual(["i n\n", "i n\n"]);
      expect(asked).toHaveLength(2);
    } finally {
      server.close();
    }
    await expect(fetchedMerges(`http://127.0.0.1:${port}/gone`)()).rejects.toThrow(FileError);
  });
});

describe("mergesFromDisk", () => {
  it("reads the shipped list", async () => {
    const load = mergesFromDisk(new URL("../../../assets/clip-merges.txt", import.meta.url));
    expect((await load()).length).toBeGreaterThan(400_000);
  });
  it("names a file that is not there", async () => {
    await expect(mergesFromDisk("/nowhere/clip-merges.txt")()).rejects.toThrow(/\/nowhere\/clip-merges\.txt/);
  });
});
