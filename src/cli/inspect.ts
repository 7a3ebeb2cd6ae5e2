import { Command } from "commander";
import * as options from "./options.ts";
import type { Terminal } from "./session.ts";

export interface InspectOptions {
  json?: boolean;
}

export function inspectCommand(terminal: Terminal): Command {
  return new Command("inspect")
    .description("say what a checkpoint is, from its headers alone")
    .argument("<path>", "a diffusers folder or one .safetensors file")
    .addOption(options.jsonOption())
    .action((path: string, parsed: InspectOptions) => inspect(path, parsed, terminal));
}

export async function inspect(path: string, parsed: InspectOptions, terminal: Terminal): Promise<void> {
  const engine = await terminal.engine();
  const report = await engine.inspect(path);
  terminal.print(parsed.json ? JSON.stringify(report) : report.summary.join("\n"));
}
