/** One network evaluation and the arithmetic after it, as the sampler's kernels read it from the GPU.
 *
 *      ε = ex·query + em·output,   F = cx·source + ce·ε,   target = x + strength·(F − x)   */
export interface SamplerRow {
  /** Row of the time-embedding table. */
  readonly tRow: number;
  /** Which latent the network reads, F starts from, and the result goes to. */
  readonly query: "x" | "y";
  readonly source: "x" | "y";
  readonly target: "x" | "y";
  readonly cx: number;
  readonly ce: number;
  readonly ex: number;
  readonly em: number;
  readonly guidanceScale: number;
  readonly strength: number;
  /** ᾱ of the queried timestep, in (0, 1]. */
  readonly alphaBar: number;
}

/** Bytes of a row in `lib/sampler-state.wgsl`. */
const ROW_BYTES = 48;

/** Bytes of the state that `advance` moves along: a row, and the number of the next one. All zeros before the first. */
export const STATE_BYTES = ROW_BYTES + 4;

/** A schedule as the GPU reads it: what `advance` binds as `schedule`. */
export function packRows(rows: readonly SamplerRow[]): Uint8Array {
  const view = new DataView(new ArrayBuffer(rows.length * ROW_BYTES));
  for (const [k, row] of rows.entries()) {
    const flags = (row.query === "y" ? 1 : 0) | (row.source === "y" ? 2 : 0) | (row.target === "y" ? 4 : 0);
    view.setUint32(k * ROW_BYTES, row.tRow, true);
    view.setUint32(k * ROW_BYTES + 4, flags, true);
    const { cx, ce, ex, em, guidanceScale, strength, alphaBar } = row;
    [cx, ce, ex, em, guidanceScale, strength, alphaBar, 1 - alphaBar].forEach((value, j) =>
      view.setFloat32(k * ROW_BYTES + 8 + 4 * j, value, true),
    );
  }
  return new Uint8Array(view.buffer);
}
