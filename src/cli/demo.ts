import { mkdir } from "node:fs/promises";
import { dirname } from "node:path";
import { Command, Option } from "commander";
import type { AdapterChoice } from "../node/adapter.ts";
import { checkWritable, outputError, writeFileAtomic } from "../node/output.ts";
import { encodePng } from "../node/png.ts";
import type { DtypeChoice } from "./engine.ts";
import * as options from "./options.ts";
import { withContext, type Terminal } from "./session.ts";

export interface DemoOptions {
  prompt?: string;
  seed: number;
  steps?: number;
  dtype: DtypeChoice;
  out: string;
  adapter?: AdapterChoice;
  json?: boolean;
}

export function demoCommand(terminal: Terminal): Command {
  return new Command("demo")
    .description("one seed three ways with the pair that comes along, side by side: weak | strong | W2SD")
    .option("--prompt <text>", "what the picture shows (default: one that the pair knows)")
    .addOption(new Option("--seed <n>", "seed of the noise").argParser(options.seed).default(1))
    .addOption(
      new Option("--steps <n>", "sampling steps (default: what suits the pair)").argParser(
        options.number({ integer: true, min: 1, max: 1000 }),
      ),
    )
    .addOption(options.choice("--dtype <type>", "what to compute in", ["f16", "f32", "auto"]).default("auto"))
    .option("--out <file>", "the PNG to write", "out/demo.png")
    .addOption(options.adapterOption())
    .addOption(options.jsonOption())
    .action((parsed: DemoOptions) => demo(parsed, terminal));
}

/** Makes the strip, writes it, and prints its path or the report. */
export async function demo(parsed: DemoOptions, terminal: Terminal): Promise<void> {
  await mkdir(dirname(parsed.out), { recursive: true }).catch((cause: unknown) => {
    throw outputError(parsed.out, cause);
  });
  await checkWritable(parsed.out);
  await withContext(terminal, parsed.adapter, async (engine, context) => {
    const { prompt, seed, steps, dtype } = parsed;
    const result = await engine.demo({ prompt, seed, steps, dtype }, context);
    await writeFileAtomic(
      parsed.out,
      await encodePng(result.image, { Description: `weak | strong | W2SD: ${result.prompt}` }),
    );
    for (const note of result.notes) context.progress.say(note);
    terminal.print(parsed.json ? JSON.stringify({ ...result.report, images: [parsed.out] }) : parsed.out);
  });
}
