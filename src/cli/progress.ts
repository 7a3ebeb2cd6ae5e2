import type { Ora } from "ora";

/** Progress and words for a person, on stderr. */
export interface Progress {
  /** `done` of `total` units of what `label` names. A new label begins a new bar. */
  update(label: string, done: number, total: number): void;
  /** One line of words, above the bar. */
  say(line: string): void;
  /** Takes the bar away; whatever is said next is plain. */
  stop(): void;
}

interface Stream {
  readonly isTTY?: boolean;
  write(text: string): unknown;
}

/** A bar where stderr is a terminal, otherwise a line every tenth of the way. */
export async function createProgress(stream: NodeJS.WriteStream = process.stderr): Promise<Progress> {
  if (!stream.isTTY) return plainProgress(stream);
  const { default: ora } = await import("ora");
  // Its stdin handling is off: Ctrl-C must reach our own handler.
  return barProgress(ora({ stream, discardStdin: false }), stream);
}

export function plainProgress(stream: Stream): Progress {
  let label = "";
  let tenth = -1;
  return {
    update(name, done, total) {
      const now = tenthOf(done, total);
      if (name === label && now <= tenth) return;
      stream.write(`${name}: ${percent(done, total)} (${done}/${total})\n`);
      [label, tenth] = [name, now];
    },
    say: (line) => void stream.write(`${line}\n`),
    stop: () => {
      [label, tenth] = ["", -1];
    },
  };
}

export function barProgress(spinner: Ora, stream: Stream): Progress {
  let label = "";
  let started = 0;
  const finish = () => {
    if (spinner.isSpinning) spinner.succeed(label);
  };
  return {
    update(name, done, total) {
      if (name !== label) {
        finish();
        [label, started] = [name, performance.now()];
      }
      spinner.text = `${name} ${bar(done, total)} ${percent(done, total)} (${done}/${total})${remaining(started, done, total)}`;
      if (!spinner.isSpinning) spinner.start();
      if (done >= total) {
        finish();
        label = "";
      }
    },
    say(line) {
      if (spinner.isSpinning) spinner.clear();
      stream.write(`${line}\n`);
    },
    stop() {
      spinner.stop();
      label = "";
    },
  };
}

const fraction = (done: number, total: number) => (total > 0 ? Math.min(1, Math.max(0, done / total)) : 1);
const tenthOf = (done: number, total: number) => Math.floor(fraction(done, total) * 10);
const percent = (done: number, total: number) => `${Math.floor(fraction(done, total) * 100)} %`;

function bar(done: number, total: number, width = 24): string {
  const full = Math.round(fraction(done, total) * width);
  return "█".repeat(full) + "░".repeat(width - full);
}

function remaining(started: number, done: number, total: number): string {
  const seconds = (performance.now() - started) / 1000;
  if (done <= 0 || done >= total || seconds < 1) return "";
  return `, ${Math.ceil((seconds / done) * (total - done))} s left`;
}
