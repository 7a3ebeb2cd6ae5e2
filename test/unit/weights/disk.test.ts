import { mkdir, mkdtemp, open, rm, symlink, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { FileError, UsageError } from "../../../src/errors.ts";
import { diskFolder, fileSource, openPath } from "../../../src/weights/disk.ts";
import { readSafetensors } from "../../../src/weights/safetensors.ts";
import { chunks } from "../../../src/weights/source.ts";

let dir: string;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "w2sd-disk-"));
  await mkdir(join(dir, "unet"));
  await writeFile(join(dir, "unet", "config.json"), "{}");
  await writeFile(
    join(dir, "ten.bin"),
    Uint8Array.from({ length: 10 }, (_, i) => i),
  );
});
afterAll(() => rm(dir, { recursive: true }));

test("reads by position, any number at once", async () => {
  const source = await fileSource(join(dir, "ten.bin"));
  expect(source.size).toBe(10);
  const pieces = await Promise.all([source.read(8, 10), source.read(0, 3), source.read(4, 4), source.read(2, 9)]);
  expect(pieces.map((p) => [...p])).toEqual([[8, 9], [0, 1, 2], [], [2, 3, 4, 5, 6, 7, 8]]);
  await expect(source.read(4, 11)).rejects.toThrow(UsageError);
  await source.close();
  await source.close();
  await expect(source.read(0, 1)).rejects.toThrow(/was closed/);
});

test("a file that was cut while open is a short read with both numbers", async () => {
  const path = join(dir, "cut.bin");
  await writeFile(path, new Uint8Array(100));
  const source = await fileSource(path);
  await truncate(path, 40);
  const reading = source.read(30, 90);
  await expect(reading).rejects.toThrow(FileError);
  await expect(reading).rejects.toThrow(/cut\.bin: 60 bytes asked for at 30, 10 came/);
  await source.close();
});

test("what cannot be opened is a FileError with the path", async () => {
  await expect(fileSource(join(dir, "none.safetensors"))).rejects.toThrow(/none\.safetensors: no such file/);
  await expect(fileSource(join(dir, "unet"))).rejects.toThrow(/unet is a folder/);
  await expect(diskFolder(join(dir, "none"))).rejects.toThrow(/none: no such folder/);
  await expect(diskFolder(join(dir, "ten.bin"))).rejects.toThrow(/ten\.bin is a file/);
  await expect(openPath(join(dir, "none"))).rejects.toThrow(/no such file/);
});

test("a folder gives its files, each opened once, and undefined for what is none", async () => {
  const folder = await diskFolder(dir);
  const [a, b] = await Promise.all([folder.file("unet/config.json"), folder.file("unet/config.json")]);
  expect(a).toBe(b);
  expect(a!.size).toBe(2);
  expect(await folder.file("vae/config.json")).toBeUndefined();
  expect(await folder.file("ten.bin/config.json")).toBeUndefined();
  expect(await folder.file("unet")).toBeUndefined();
  await folder.close();
  await expect(a!.read(0, 2)).rejects.toThrow(UsageError);
  expect((await folder.file("ten.bin"))!.size).toBe(10);
  await folder.close();
});

test.each(["../ten.bin", "/etc/passwd", "unet/../../x", "", "a//b", "c:x", "a\\b", "."])(
  "a folder does not follow %j out of itself",
  async (path) => {
    const folder = await diskFolder(dir);
    await expect(async () => folder.file(path)).rejects.toThrow(FileError);
    await folder.close();
  },
);

test("symbolic links are followed, as the hub's cache needs", async () => {
  await symlink(join(dir, "ten.bin"), join(dir, "linked.bin"));
  const folder = await diskFolder(dir);
  expect((await folder.file("linked.bin"))!.size).toBe(10);
  await folder.close();
});

test("openPath tells folders from files", async () => {
  const [folder, file] = [await openPath(dir), await openPath(join(dir, "ten.bin"))];
  expect("file" in folder).toBe(true);
  expect("read" in file).toBe(true);
  await folder.close();
  await file.close();
});

test("streaming a 300 MB tensor grows heap and array buffers by less than 64 MiB", async () => {
  const path = join(dir, "large.safetensors");
  const bytes = 300_000_000;
  const header = JSON.stringify({ big: { dtype: "F16", shape: [bytes / 2], data_offsets: [0, bytes] } });
  const padded = header.padEnd(Math.ceil(header.length / 8) * 8);
  const file = await open(path, "w");
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(padded.length));
  await file.write(Buffer.concat([length, Buffer.from(padded)]));
  // Sparse, but for the last bytes, which show that the end was really reached.
  await file.truncate(8 + padded.length + bytes);
  await file.write(Buffer.from([1, 2, 3, 4]), 0, 4, 8 + padded.length + bytes - 4);
  await file.close();

  const source = await fileSource(path);
  const { big } = Object.fromEntries((await readSafetensors(source)).tensors);
  const held = (): number => process.memoryUsage().heapUsed + process.memoryUsage().arrayBuffers;
  const before = held();
  let most = 0;
  let read = 0;
  let last: number[] = [];
  for await (const piece of chunks(source, big!.begin, big!.end)) {
    read += piece.length;
    last = [...piece.subarray(-4)];
    most = Math.max(most, held() - before);
  }
  expect(read).toBe(bytes);
  expect(last).toEqual([1, 2, 3, 4]);
  expect(most).toBeLessThan(64 * 2 ** 20);
  await source.close();
});
