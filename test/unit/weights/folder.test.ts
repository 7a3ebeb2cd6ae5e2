import { describe, expect, test } from "vitest";
import { filesFolder, readJson, readText } from "../../../src/weights/folder.ts";
import type { ByteSource } from "../../../src/weights/source.ts";

describe("picked files", () => {
  const picked = (path: string, text: string): File => {
    const file = new File([text], path.split("/").at(-1)!);
    Object.defineProperty(file, "webkitRelativePath", { value: path });
    return file;
  };

  test("a picked folder's name is not part of the paths", async () => {
    const folder = filesFolder([picked("my model/unet/config.json", "{}"), picked("my model/merges.txt", "x")]);
    expect(folder.name).toBe("my model");
    expect(await readJson(folder, "unet/config.json")).toEqual({});
    expect(await readText((await folder.file("merges.txt"))!)).toBe("x");
    expect(await folder.file("my model/merges.txt")).toBeUndefined();
    expect(await readJson(folder, "vae/config.json")).toBeUndefined();
  });

  test("files picked one by one go by their names", async () => {
    const folder = filesFolder([new File(["{}"], "config.json"), new File(["x"], "b.txt")]);
    expect(await readJson(folder, "config.json")).toEqual({});
  });

  test("a text file that is too large is refused before it is read", async () => {
    const huge: ByteSource = { name: "huge.json", size: 65 * 2 ** 20, read: () => Promise.reject(new Error("read")) };
    await expect(readText(huge)).rejects.toThrow(/huge\.json: 68157440 bytes/);
  });
});
