import { AbortError } from "../errors.ts";
import { adapterLine, findAdapter, type AdapterChoice } from "../node/adapter.ts";
import type { Context, Engine } from "./engine.ts";
import { createProgress } from "./progress.ts";

/** What a command is given besides its options. */
export interface Terminal {
  /** Loads the engine when a command needs it, so that `--help` stays quick. */
  readonly engine: () => Promise<Engine>;
  readonly signal: AbortSignal;
  /** Data. */
  readonly print: (line: string) => void;
}

/** Finds an adapter, names it, and runs `work` with a progress bar that is gone afterwards. */
export async function withContext<T>(
  terminal: Terminal,
  adapterChoice: AdapterChoice | undefined,
  work: (engine: Engine, context: Context) => Promise<T>,
): Promise<T> {
  const [engine, progress, adapter] = await Promise.all([
    terminal.engine(),
    createProgress(),
    findAdapter(adapterChoice === undefined ? {} : { adapter: adapterChoice }),
  ]);
  progress.say(adapterLine(adapter));
  try {
    if (terminal.signal.aborted) throw new AbortError("interrupted");
    return await work(engine, { adapter, progress, signal: terminal.signal });
  } finally {
    progress.stop();
  }
}
