import { FileError } from "../errors.ts";

/** A config.json as parsed: untrusted. */
export type Config = Readonly<Record<string, unknown>>;

/** Reads one kind of field at a time, so that a wrong config fails with the field's name. */
export interface ConfigReader {
  number(key: string, fallback?: number): number;
  /** null counts as absent. */
  optionalNumber(key: string): number | undefined;
  boolean(key: string, fallback: boolean): boolean;
  string(key: string, fallback?: string): string;
  numbers(key: string, fallback?: readonly number[]): readonly number[];
  strings(key: string): readonly string[];
  /** A number for all of `count` levels, or one for each. */
  perLevel(key: string, count: number, fallback?: number): readonly number[];
  /** Refuses configs of models that this engine would run wrongly: the field must be absent, null or one of `allowed`. */
  only(key: string, allowed: readonly unknown[], why: string): void;
}

export function readConfig(config: Config, file: string): ConfigReader {
  const bad = (key: string, wanted: string): never => {
    throw new FileError(`${file}: '${key}' is ${JSON.stringify(config[key]) ?? "absent"}, wanted ${wanted}`);
  };
  const present = (key: string) => config[key] !== undefined && config[key] !== null;
  const isNumbers = (v: unknown): v is number[] => Array.isArray(v) && v.every((x) => typeof x === "number");
  const reader: ConfigReader = {
    number(key, fallback) {
      const v = present(key) ? config[key] : fallback;
      return typeof v === "number" && Number.isFinite(v) ? v : bad(key, "a number");
    },
    optionalNumber: (key) => (present(key) ? reader.number(key) : undefined),
    boolean(key, fallback) {
      const v = present(key) ? config[key] : fallback;
      return typeof v === "boolean" ? v : bad(key, "true or false");
    },
    string(key, fallback) {
      const v = present(key) ? config[key] : fallback;
      return typeof v === "string" ? v : bad(key, "a string");
    },
    numbers(key, fallback) {
      const v = present(key) ? config[key] : fallback;
      return isNumbers(v) && v.length > 0 ? v : bad(key, "a list of numbers");
    },
    strings(key) {
      const v = config[key];
      return Array.isArray(v) && v.length > 0 && v.every((x) => typeof x === "string") ? (v as string[]) : bad(key, "a list of strings");
    },
    perLevel(key, count, fallback) {
      const v = present(key) ? config[key] : fallback;
      if (typeof v === "number") return new Array<number>(count).fill(v);
      return isNumbers(v) && v.length === count ? v : bad(key, `a number or a list of ${count}`);
    },
    only(key, allowed, why) {
      if (present(key) && !allowed.includes(config[key])) throw new FileError(`${file}: '${key}' is ${JSON.stringify(config[key])}: ${why}`);
    },
  };
  return reader;
}
