import { Command } from "commander";
import { AbortError } from "../errors.ts";
import { demoCommand } from "./demo.ts";
import { doctorCommand } from "./doctor.ts";
import { reportError } from "./exit.ts";
import { generateCommand } from "./generate.ts";
import { inspectCommand } from "./inspect.ts";
import { planCommand } from "./plan.ts";
import { runCommand } from "./run.ts";
import type { Terminal } from "./session.ts";
import { toyCommand } from "./toy.ts";
import { version } from "./version.ts";

/** The command line. Usage errors are thrown instead of ending the process. */
export function program(terminal: Terminal): Command {
  const w2sd = new Command("w2sd")
    .description("Stable Diffusion from stock safetensors on WebGPU, with Weak-to-Strong Diffusion and reflection")
    .version(version)
    .configureHelp({ showGlobalOptions: true })
    .showHelpAfterError("(--help lists the options)")
    .addHelpText(
      "after",
      "\nExit codes: 0 ok, 1 failure, 2 usage, 3 no adapter, 4 memory or limit, 5 bad file, 130 interrupted",
    );
  for (const command of [
    generateCommand,
    runCommand,
    toyCommand,
    inspectCommand,
    planCommand,
    doctorCommand,
    demoCommand,
  ])
    w2sd.addCommand(command(terminal));
  settle(w2sd);
  return w2sd;
}

/** Every command throws instead of exiting, and takes no arguments beyond its own. */
function settle(command: Command): void {
  command.exitOverride().allowExcessArguments(false);
  for (const child of command.commands) {
    child.copyInheritedSettings(command);
    settle(child);
  }
}

/** Runs one command line; returns the exit code. */
export async function main(argv: readonly string[], terminal: Terminal): Promise<number> {
  try {
    await program(terminal).parseAsync([...argv], { from: "user" });
    return 0;
  } catch (error) {
    // Whatever an interrupted command trips over, the interruption is the reason.
    return reportError(
      terminal.signal.aborted && !(error instanceof AbortError) ? new AbortError("interrupted") : error,
    );
  }
}
