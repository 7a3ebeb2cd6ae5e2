import { FileError } from "../errors.ts";
import { quote } from "./show.ts";

/** A model's config as its JSON gives it. */
export type Config = Readonly<Record<string, unknown>>;

/** Most channels, tokens and the like that a config is believed. */
const maxWidth = 2 ** 24;

/** Most layers of one kind: each makes tensors, so an absurd count would be work before anything is compared. */
export const maxLayers = 256;

const maxLevels = 64;

/** Typed look-ups in a config that was read from `file`; what is absent or null takes the fallback.
 *  @throws {FileError} a value of another type, naming file, key and value */
export function readConfig(config: Config, file: string) {
  const refuse = (key: string, wanted: string): never => {
    const found = JSON.stringify(config[key]) ?? "nothing";
    throw new FileError(`${file}: '${key}' is ${found.slice(0, 80)}, ${wanted} was expected`);
  };
  const isCount = (value: unknown, most: number): value is number =>
    Number.isInteger(value) && (value as number) > 0 && (value as number) <= most;
  const has = (key: string): boolean => (config[key] ?? undefined) !== undefined;
  return {
    file,
    has,
    /** A whole number from 1 to `most`. */
    count(key: string, fallback: number, most = maxWidth): number {
      if (!has(key)) return fallback;
      const value = config[key];
      return isCount(value, most) ? value : refuse(key, `a whole number from 1 to ${most}`);
    },
    /** A list of whole numbers from 1 to `most`. */
    counts(key: string, fallback: readonly number[], most = maxWidth): readonly number[] {
      if (!has(key)) return fallback;
      const value = config[key];
      const list =
        Array.isArray(value) && value.length > 0 && value.length <= maxLevels && value.every((v) => isCount(v, most));
      return list ? value : refuse(key, `a list of whole numbers from 1 to ${most}`);
    },
    /** A list of `length`, written as such or as one number for all. */
    countPerLevel(key: string, length: number, fallback: number, most = maxWidth): readonly number[] {
      if (!Array.isArray(config[key])) return Array.from({ length }, () => this.count(key, fallback, most));
      const list = this.counts(key, [], most);
      return list.length === length ? list : refuse(key, `a list of ${length}`);
    },
    /** A finite number. */
    number(key: string, fallback: number): number {
      if (!has(key)) return fallback;
      const value = config[key];
      return typeof value === "number" && Number.isFinite(value) ? value : refuse(key, "a number");
    },
    names(key: string, fallback: readonly string[]): readonly string[] {
      if (!has(key)) return fallback;
      const value = config[key];
      const list = Array.isArray(value) && value.length > 0 && value.every((v) => typeof v === "string");
      return list ? value : refuse(key, "a list of names");
    },
    /** One of these words. */
    choice<T extends string>(key: string, words: readonly T[], fallback: T): T {
      if (!has(key)) return fallback;
      return words.find((word) => word === config[key]) ?? refuse(key, words.join(" or "));
    },
    flag(key: string, fallback: boolean): boolean {
      if (!has(key)) return fallback;
      const value = config[key];
      return typeof value === "boolean" ? value : refuse(key, "true or false");
    },
    /** The value must be one of these; null stands for absent. */
    only(key: string, supported: readonly (string | number | boolean | null)[]): void {
      const value = config[key] ?? null;
      if (Array.isArray(value) && value.length > 0 && value.every((v) => v === supported[0])) return;
      if (value === null || supported.includes(value as string)) return;
      const known = supported.map((v) => JSON.stringify(v)).join(" or ");
      throw new FileError(
        `${file}: '${key}' is ${JSON.stringify(value).slice(0, 80)}, only ${known} is supported`,
        `the model is of a kind that this library does not run (${quote(key)})`,
      );
    },
  };
}

export type ConfigReader = ReturnType<typeof readConfig>;
