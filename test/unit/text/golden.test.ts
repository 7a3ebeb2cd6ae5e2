import { existsSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { clipTokenizer } from "../../../src/text/clip-tokenizer.ts";
import type { Vocab } from "../../../src/text/clip-vocab.ts";

interface Golden {
  readonly transformers: string;
  readonly vocabulary: string;
  readonly length: number;
  readonly bos: number;
  readonly eos: number;
  readonly pad: number;
  readonly rows: readonly { readonly prompt: string; readonly ids: readonly number[] }[];
}

const root = new URL("../../../", import.meta.url);
const text = (path: string) => readFileSync(new URL(path, root), "utf8");
const json = <T>(path: string) => JSON.parse(text(path)) as T;

function tokenizerOf(vocabulary: string) {
  if (vocabulary.endsWith(".txt")) return clipTokenizer({ merges: text(vocabulary) });
  const optional = (name: string) =>
    existsSync(new URL(`${vocabulary}/${name}`, root))
      ? json<Record<string, unknown>>(`${vocabulary}/${name}`)
      : undefined;
  return clipTokenizer({
    vocab: json<Vocab>(`${vocabulary}/vocab.json`),
    merges: text(`${vocabulary}/merges.txt`),
    specialTokensMap: optional("special_tokens_map.json"),
    tokenizerConfig: optional("tokenizer_config.json"),
  });
}

describe.each(["clip-ids", "tiny-ids", "tiny-ids-sd2"])("%s: ids as transformers' CLIPTokenizer gives them", (name) => {
  const golden = json<Golden>(`test/golden/data/${name}.json`);
  const tokenizer = tokenizerOf(golden.vocabulary);

  it("special tokens", () => {
    const { length, bos, eos, pad } = tokenizer;
    expect({ length, bos, eos, pad }).toEqual({
      length: golden.length,
      bos: golden.bos,
      eos: golden.eos,
      pad: golden.pad,
    });
  });

  it.each(golden.rows)("$prompt", ({ prompt, ids }) => {
    const padding = Array<number>(golden.length - ids.length).fill(golden.pad);
    expect([...tokenizer.ids(prompt)]).toEqual([...ids, ...padding]);
  });
});
