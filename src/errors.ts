/** Exit codes of the command line: 0 ok, 1 failure, 2 usage, 3 no adapter, 4 memory or limit, 5 bad file, 130 interrupted. */
export type ExitCode = 1 | 2 | 3 | 4 | 5 | 130;

/** Base of every error this library throws on purpose: what failed on which named thing, then `hint:` with the action. */
export class W2sdError extends Error {
  readonly exitCode: ExitCode = 1;
  readonly hint: string | undefined;

  constructor(message: string, hint?: string, options?: ErrorOptions) {
    super(hint === undefined ? message : `${message}\n  hint: ${hint}`, options);
    this.name = new.target.name;
    this.hint = hint;
  }
}

/** Shapes or dtypes of a layer do not fit each other. */
export class ShapeError extends W2sdError {
  override readonly exitCode = 5;
}

/** A file is damaged, of the wrong kind, or lacks something. */
export class FileError extends W2sdError {
  override readonly exitCode = 5;
}

/** The caller asked for something that does not exist or contradicts itself. */
export class UsageError extends W2sdError {
  override readonly exitCode = 2;
}

/** No WebGPU adapter, or not the one that was asked for. */
export class AdapterError extends W2sdError {
  override readonly exitCode = 3;
}

/** A device limit or the memory does not suffice. */
export class LimitError extends W2sdError {
  override readonly exitCode = 4;
}

/** The device was lost or refused a command. */
export class DeviceError extends W2sdError {}

/** The caller aborted. */
export class AbortError extends W2sdError {
  override readonly exitCode = 130;
}

/** @throws {AbortError} the caller aborted */
export function checkAborted(signal: AbortSignal | undefined, doing: string): void {
  if (signal?.aborted === true) throw new AbortError(`${doing} was stopped`, undefined, { cause: signal.reason });
}

/** A defect of this library: never the caller's fault. */
export class InternalError extends W2sdError {
  constructor(message: string, options?: ErrorOptions) {
    super(
      `internal: ${message}`,
      "this is a defect of w2sd-webgpu; please report it with the command that led here",
      options,
    );
  }
}
