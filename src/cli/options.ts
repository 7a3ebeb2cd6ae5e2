import { InvalidArgumentError, Option } from "commander";
import { adapterChoices } from "../node/adapter.ts";

interface Range {
  readonly integer?: boolean;
  /** Smallest and largest value allowed. */
  readonly min?: number;
  readonly max?: number;
  /** Values must be greater than this. */
  readonly above?: number;
}

/** Reads one number. Strict: nothing empty, no trailing text, neither NaN nor infinite.
 *  @throws {InvalidArgumentError} which commander reports with the option's name and the text */
export function number(range: Range = {}): (text: string) => number {
  const wanted = describeRange(range);
  return (text) => {
    const value = /^[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?$/i.test(text) ? Number(text) : NaN;
    const outside =
      !Number.isFinite(value) ||
      (range.integer && !Number.isSafeInteger(value)) ||
      value < (range.min ?? -Infinity) ||
      value > (range.max ?? Infinity) ||
      value <= (range.above ?? -Infinity);
    if (outside) throw new InvalidArgumentError(`It must be ${wanted}.`);
    return value;
  };
}

function describeRange({ integer, min, max, above }: Range): string {
  const kind = integer ? "a whole number" : "a number";
  if (min !== undefined && max !== undefined) return `${kind} from ${min} to ${max}`;
  if (min !== undefined) return `${kind} of at least ${min}`;
  if (above !== undefined) return `${kind} greater than ${above}`;
  return kind;
}

/** Reads numbers separated by commas. */
export function numbers(range: Range = {}): (text: string) => number[] {
  const one = number(range);
  return (text) => text.split(",").map((part) => one(part.trim()));
}

/** Reads `WIDTHxHEIGHT` in pixels. */
export function size(text: string): { width: number; height: number } {
  const match = /^(\d{1,5})x(\d{1,5})$/.exec(text);
  const [width, height] = [Number(match?.[1]), Number(match?.[2])];
  if (!match || width === 0 || height === 0) throw new InvalidArgumentError("It must be WIDTHxHEIGHT, as in 512x512.");
  return { width, height };
}

/** Seeds are what torch takes: MT19937 uses the lower 32 bits, Philox 64 as far as a number is exact. */
export const seed = number({ integer: true, min: 0, max: Number.MAX_SAFE_INTEGER });

export function choice(flags: string, description: string, choices: readonly string[]): Option {
  return new Option(flags, description).choices(choices);
}

export const adapterOption = () =>
  choice("--adapter <name>", "which WebGPU adapter to use (default: W2SD_ADAPTER, else auto)", adapterChoices);
export const jsonOption = () => new Option("--json", "print one JSON object on stdout");

export const inversionOption = () =>
  choice("--inversion <kind>", "coefficients of the inverse step", ["exact", "official"]).default("exact");
export const queryOption = () =>
  choice("--query <point>", "where the weak leg is asked", ["published", "aligned", "cached"]).default("published");
export const alphaOption = () =>
  new Option("--alpha <n>", "strength of the reflection, 1 as in the paper").argParser(number()).default(1);
export const stepsOption = () =>
  new Option("--steps <n>", "sampling steps").argParser(number({ integer: true, min: 1, max: 1000 })).default(50);
export const lambdaOption = () =>
  new Option("--lambda <n>", "how many steps are reflected, from the noisiest (default: steps - 1)").argParser(
    number({ integer: true, min: 0 }),
  );
