/** How a shader looks from outside. Written by `npm run reflect`, never by hand. */
export interface Contract {
  readonly name: string;
  readonly code: string;
  /** Libraries appended after the shader's end. */
  readonly uses: readonly string[];
  /** Storage buffers of group 0, in binding order. A `write` binding may also be read (in-place kernels). */
  readonly bindings: readonly { readonly name: string; readonly access: "read" | "write" }[];
  /** The uniform struct in group 1: scalars only. */
  readonly params: { readonly bytes: number; readonly fields: Readonly<Record<string, ParamField>> };
  readonly overrides: Readonly<Record<string, number | boolean>>;
  readonly alias: Readonly<Record<string, string>>;
  readonly consts: Readonly<Record<string, number>>;
}

export interface ParamField {
  readonly type: "u32" | "i32" | "f32";
  readonly offset: number;
}

/** One dispatch as data: which shader, specialised how, with which uniforms, on what grid. */
export interface Launch {
  readonly contract: Contract;
  readonly params: Readonly<Record<string, number>>;
  readonly overrides: Readonly<Record<string, number | boolean>>;
  readonly alias: Readonly<Record<string, string>>;
  readonly consts: Readonly<Record<string, number>>;
  /** Libraries to append in place of those that the shader names. */
  readonly libraries: Readonly<Record<string, string>>;
  readonly workgroups: readonly [number, number, number];
}

/** What a kernel states about a launch of shader C; names that C does not have are compile errors. */
export interface LaunchOf<C extends Contract> {
  readonly params: { readonly [K in keyof C["params"]["fields"]]: number };
  readonly overrides?: { readonly [K in keyof C["overrides"]]?: number | boolean };
  readonly alias?: { readonly [K in keyof C["alias"]]?: string };
  readonly consts?: { readonly [K in keyof C["consts"]]?: number };
  readonly libraries?: { readonly [K in C["uses"][number]]?: string };
  readonly workgroups: readonly [x: number, y?: number, z?: number];
}

/** States one dispatch of a shader, checked against its contract by types alone. */
export function launch<const C extends Contract>(contract: C, given: LaunchOf<C>): Launch {
  const [x, y = 1, z = 1] = given.workgroups;
  return {
    contract,
    params: given.params,
    overrides: (given.overrides ?? {}) as Record<string, number | boolean>,
    alias: (given.alias ?? {}) as Record<string, string>,
    consts: (given.consts ?? {}) as Record<string, number>,
    libraries: (given.libraries ?? {}) as Record<string, string>,
    workgroups: [x, y, z],
  };
}

/** Largest workgroup count per grid dimension that every WebGPU device takes. */
export const MAX_WORKGROUPS = 65_535;

/** A grid of at least `count` workgroups in two dimensions, for kernels that flatten `workgroup_id` as x + y·width. */
export function flatGrid(count: number): [x: number, y: number] {
  const y = Math.ceil(count / MAX_WORKGROUPS);
  return [Math.ceil(count / y), y];
}
