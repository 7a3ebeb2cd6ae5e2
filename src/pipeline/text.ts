import { writeBuffer, type BufferRange } from "../gpu/buffers.ts";
import { copyRanges, submit } from "../gpu/program.ts";
import { instantiate, type Executable, type Resources } from "../graph/execute.ts";
import type { Plan } from "../graph/plan.ts";
import type { Gpu } from "../gpu/device.ts";
import { planOf, type LoadContext, type TextPart } from "./model.ts";

/** Prompts encoded on the GPU: [77, D] each. */
export interface EncodedPrompts {
  readonly executable: Executable;
  /** Where a prompt's vectors are. */
  range(prompt: string): BufferRange;
  /** Tokens of a prompt that did not fit, by prompt. */
  readonly cut: ReadonlyMap<string, number>;
}

export function textPlan(context: LoadContext, text: TextPart, prompts: readonly string[], clipSkip: number): Plan {
  return planOf(context, text.graph({ batch: prompts.length, tokens: text.tokenizer.length, clipSkip }));
}

/** Runs a model's text encoder over distinct prompts. */
export async function encodePrompts(
  gpu: Gpu,
  plan: Plan,
  text: TextPart,
  prompts: readonly string[],
  { scratch, onPipeline }: Required<Pick<Resources, "scratch" | "onPipeline">>,
): Promise<EncodedPrompts> {
  const tokens = text.tokenizer.length;
  const ids = new Uint32Array(prompts.length * tokens);
  const cut = new Map<string, number>();
  for (const [i, prompt] of prompts.entries()) {
    const encoded = text.tokenizer.encode(prompt);
    ids.set(encoded.ids, i * tokens);
    if (encoded.cut > 0) cut.set(prompt, encoded.cut);
  }
  const positions = Uint32Array.from({ length: tokens }, (_, i) => i);
  const bytes = (a: Uint32Array) => new Uint8Array(a.buffer);
  const executable = await instantiate(gpu, plan, { weights: text.weights.ranges, scratch, onPipeline });
  try {
    writeBuffer(gpu, executable.inputs.get("ids")!.buffer, 0, bytes(ids));
    writeBuffer(gpu, executable.inputs.get("positions")!.buffer, 0, bytes(positions));
    submit(gpu, [executable.once, executable.step]);
  } catch (error) {
    executable.dispose();
    throw error;
  }
  const output = executable.outputs.get("output")!;
  const each = output.bytes / prompts.length;
  return {
    executable,
    cut,
    range: (prompt) => ({ buffer: output.buffer, offset: output.offset + prompts.indexOf(prompt) * each, bytes: each }),
  };
}

/** Fills a network's `context` input: one prompt after the other, each `batch` times. */
export function setContext(
  gpu: Gpu,
  context: BufferRange,
  encoded: EncodedPrompts,
  prompts: readonly string[],
  batch: number,
): void {
  const rows = prompts.flatMap((prompt) => new Array<BufferRange>(batch).fill(encoded.range(prompt)));
  copyRanges(
    gpu,
    rows.map((from, i) => ({
      from,
      to: { buffer: context.buffer, offset: context.offset + i * from.bytes, bytes: from.bytes },
    })),
  );
}
