/** The package in Node: everything a page has, and what only Node needs. */
export * from "./index.ts";
export {
  adapterChoices,
  adapterLine,
  findAdapter,
  type AdapterChoice,
  type Driver,
  type FindAdapterOptions,
  type FoundAdapter,
} from "./node/adapter.ts";
export { encodePng, parametersText, type Image } from "./node/png.ts";
export { OutputError, writeFileAtomic } from "./node/output.ts";
