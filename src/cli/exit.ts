import { CommanderError } from "commander";
import { LimitError, W2sdError } from "../errors.ts";

/** Exit code of a command that ended with `error`, after saying on stderr what happened: `Name: message`, then the hint. */
export function reportError(error: unknown, stderr: { write(text: string): unknown } = process.stderr): number {
  if (error instanceof CommanderError) {
    // Commander has printed its message already; help and version are no errors.
    return error.exitCode === 0 ? 0 : 2;
  }
  const known = asKnown(error);
  const debug = Boolean(process.env["DEBUG"]);
  if (known) {
    stderr.write(`${known.name}: ${known.message}\n`);
    if (debug) stderr.write(`${stackOf(error)}\n`);
    return known.exitCode;
  }
  const { name, message } = error instanceof Error ? error : { name: "Error", message: String(error) };
  stderr.write(`${name}: internal: ${message}\n  hint: a defect of w2sd-webgpu; DEBUG=1 prints where\n`);
  if (debug) stderr.write(`${stackOf(error)}\n`);
  return 1;
}

function asKnown(error: unknown): W2sdError | undefined {
  if (error instanceof W2sdError) return error;
  // What V8 and Dawn throw for want of memory.
  if (error instanceof RangeError && /allocation failed|array buffer|typed array length/i.test(error.message)) {
    return new LimitError(`out of memory: ${error.message}`, "a smaller size or model, or a machine with more memory");
  }
  return undefined;
}

function stackOf(error: unknown): string {
  if (!(error instanceof Error)) return "";
  const cause = error.cause instanceof Error ? `\ncaused by: ${stackOf(error.cause)}` : "";
  return (error.stack ?? "") + cause;
}
