import { ShapeError } from "../errors.ts";
import { ceilDiv, elementCount, showSpec, type TensorSpec } from "../tensor.ts";
import { flatGrid, launch } from "./contract.ts";
import { embedding as contract } from "./contracts.gen.ts";
import { wgslType, type Kernel } from "./kernel.ts";

export interface EmbeddingInputs {
  readonly [name: string]: TensorSpec | undefined;
  /** u32; where `count` is given, what follows the first `count` words may be anything. */
  readonly ids: TensorSpec;
  readonly table: TensorSpec;
  /** The rows that follow those of `table`, where one binding cannot hold all of them. */
  readonly tableHigh?: TensorSpec | undefined;
}

export interface EmbeddingAttributes {
  readonly dtype: "f32" | "f16";
  /** Ids to look up: the first ones. Default all. */
  readonly count?: number;
}

/** Look-up of rows: `y[t] = table[ids[t]]`; an id beyond the tables gives zeros.
 *
 *  ids u32 [≥ T], table [V, D] and tableHigh [V2, D] in f32 or f16 → y [T, D] in the given dtype. f16 tables need no shader-f16.
 *  @throws {ShapeError} the ids are no u32 vector of `count` or more, or the tables are no matrices of one width and dtype */
export const embedding: Kernel<EmbeddingInputs, EmbeddingAttributes> = {
  name: "embedding",
  output({ ids, table, tableHigh }, { dtype, count }) {
    const [length = 0] = ids.shape;
    if (ids.dtype !== "u32" || ids.shape.length !== 1 || (count ?? length) > length)
      throw new ShapeError(`ids ${showSpec(ids)}, wants u32[${count ?? "T"}]`);
    if (table.shape.length !== 2 || table.dtype === "u32")
      throw new ShapeError(`table ${showSpec(table)}, wants f32 or f16 [V, D]`);
    const width = table.shape[1]!;
    if (tableHigh && (tableHigh.shape.length !== 2 || tableHigh.shape[1] !== width || tableHigh.dtype !== table.dtype))
      throw new ShapeError(`tableHigh ${showSpec(tableHigh)} does not continue table ${showSpec(table)}`);
    return { shape: [count ?? length, width], dtype };
  },
  launch({ table, tableHigh }, y) {
    const count = elementCount(y.shape);
    const grid = flatGrid(ceilDiv(count, contract.overrides.WG));
    return launch(contract, {
      params: {
        count,
        width: table.shape[1]!,
        rows: table.shape[0]!,
        highRows: tableHigh?.shape[0] ?? 0,
        gridX: grid[0],
      },
      overrides: { TABLE_F16: table.dtype === "f16", HAS_HIGH: tableHigh !== undefined },
      alias: { elem: wgslType(y) },
      workgroups: grid,
    });
  },
};
