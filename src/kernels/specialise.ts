import { InternalError } from "../errors.ts";
import type { Launch } from "./contract.ts";
import { libraries } from "./contracts.gen.ts";

/** WGSL of a launch: `alias`/`const` right-hand sides rewritten in place, `enable` on line 1, libraries appended, so line numbers stay those of the file.
 *  @throws {InternalError} a name has no top-level declaration, or no such library */
export function specialise({ contract, alias, consts, libraries: chosen }: Launch): string {
  let code = contract.code;
  const rewrite = (keyword: string, name: string, value: string) => {
    const declaration = new RegExp(`^(${keyword} ${name}(?:: *\\w+)? *= *)[^;]+;`, "m");
    if (!declaration.test(code))
      throw new InternalError(`${contract.name}.wgsl has no top-level \`${keyword} ${name}\``);
    code = code.replace(declaration, (_, head: string) => `${head}${value};`);
  };
  for (const [name, type] of Object.entries(alias)) rewrite("alias", name, type);
  for (const [name, value] of Object.entries(consts)) rewrite("const", name, `${value}u`);
  for (const name of contract.uses) {
    const library = libraries[(chosen[name] ?? name) as keyof typeof libraries] as string | undefined;
    if (library === undefined)
      throw new InternalError(`${contract.name}.wgsl uses library '${chosen[name] ?? name}', which does not exist`);
    code += `\n${library}`;
  }
  return Object.values(alias).some((type) => /\bf16\b/.test(type)) ? `enable f16; ${code}` : code;
}

/** Two launches with equal keys share one pipeline. */
export function pipelineKey({ contract, alias, consts, libraries: chosen, overrides }: Launch): string {
  const sorted = (o: object) => JSON.stringify(Object.entries(o).sort(([a], [b]) => (a < b ? -1 : 1)));
  return [contract.name, sorted(alias), sorted(consts), sorted(chosen), sorted(overrides)].join(" ");
}

/** Bytes of a launch's uniform struct. */
export function packParams({ contract, params }: Launch): Uint8Array {
  const view = new DataView(new ArrayBuffer(contract.params.bytes));
  for (const [name, { type, offset }] of Object.entries(contract.params.fields)) {
    const value = params[name];
    if (value === undefined || Number.isNaN(value))
      throw new InternalError(`${contract.name}: Params.${name} is ${value}`);
    if (type === "u32") view.setUint32(offset, value, true);
    else if (type === "i32") view.setInt32(offset, value, true);
    else view.setFloat32(offset, value, true);
  }
  return new Uint8Array(view.buffer);
}
