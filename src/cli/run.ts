import { Command } from "commander";
import type { AdapterChoice } from "../node/adapter.ts";
import { checkWritable, writeFileAtomic } from "../node/output.ts";
import { components, type DtypeChoice } from "./engine.ts";
import * as options from "./options.ts";
import { withContext, type Terminal } from "./session.ts";

export interface RunOptions {
  model: string;
  component: (typeof components)[number];
  input: string;
  output: string;
  dtype: DtypeChoice;
  adapter?: AdapterChoice;
  json?: boolean;
}

export function runCommand(terminal: Terminal): Command {
  return new Command("run")
    .description("run one component of a model on tensors from a file, for comparing it with another engine")
    .requiredOption("--model <path>", "a diffusers folder or one .safetensors file")
    .addOption(options.choice("--component <name>", "which part", components).makeOptionMandatory())
    .requiredOption("--input <file>", "its arguments under diffusers' names, NCHW, as .safetensors")
    .requiredOption("--output <file>", "where to write its outputs, NCHW, as .safetensors")
    .addOption(options.choice("--dtype <type>", "what to compute in", ["f16", "f32", "auto"]).default("f32"))
    .addOption(options.adapterOption())
    .addOption(options.jsonOption())
    .action((parsed: RunOptions) => run(parsed, terminal));
}

/** Runs the component, writes its outputs, and prints their path or the report. */
export async function run(parsed: RunOptions, terminal: Terminal): Promise<void> {
  await checkWritable(parsed.output);
  await withContext(terminal, parsed.adapter, async (engine, context) => {
    const { model, component, input, dtype } = parsed;
    const { output, report } = await engine.run({ model, component, input, dtype }, context);
    await writeFileAtomic(parsed.output, output);
    terminal.print(parsed.json ? JSON.stringify({ ...report, output: parsed.output }) : parsed.output);
  });
}
