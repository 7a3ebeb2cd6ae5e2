#!/usr/bin/env node
import { AbortError } from "../errors.ts";
import { reportError } from "./exit.ts";
import { main } from "./program.ts";

/** Lets stdout and stderr drain: pipes are written in the background on some systems, and exiting would cut them. */
async function drain(): Promise<void> {
  await Promise.all([process.stdout, process.stderr].map((s) => new Promise((done) => s.write("", done))));
}

const interrupt = new AbortController();
for (const name of ["SIGINT", "SIGTERM"] as const) {
  process.on(name, () => {
    // The second time there is no waiting for the GPU.
    if (interrupt.signal.aborted) process.exit(130);
    interrupt.abort(new AbortError("interrupted"));
    // One step of a large model may take minutes on a software adapter; nothing of it is worth waiting for.
    setTimeout(() => process.exit(reportError(interrupt.signal.reason)), 5000).unref();
  });
}
// The reader of a pipe may leave early, as `head` does; then there is nobody to tell.
process.stdout.on("error", (error: NodeJS.ErrnoException) => process.exit(error.code === "EPIPE" ? 0 : 1));

const code = await main(process.argv.slice(2), {
  engine: async () => (await import("./node-engine.ts")).nodeEngine,
  signal: interrupt.signal,
  print: (line) => void process.stdout.write(`${line}\n`),
});
await drain();
// Whatever the engine may have left running must not hold up the end.
process.exit(code);
