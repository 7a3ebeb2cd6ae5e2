import { ceilDiv } from "../tensor.ts";
import { MAX_WORKGROUPS } from "./contract.ts";

/** Lanes of a workgroup: WX along the contiguous dimension (columns, output channels), WY along rows or pixels. */
export interface Lanes {
  readonly WX: number;
  readonly WY: number;
}

const LANES = 64;

/** Splits 64 lanes over columns and row tiles. 16 × 4 where there are rows enough: with four columns and eight rows a lane that is a near-square tile, and few
 *  shapes mean few pipelines. Fewer columns where more than a tenth of the lanes would idle at the edge. */
export function lanesFor(columns: number, rowTiles: number): Lanes {
  const rows = rowTiles >= 4 ? 4 : rowTiles >= 2 ? 2 : 1;
  let WX = LANES / rows;
  while (WX > 1 && ceilDiv(columns, WX) * WX > 1.1 * columns) WX /= 2;
  let WY = LANES / WX;
  while (WY > 1 && WY / 2 >= rowTiles) WY /= 2;
  return { WX, WY };
}

/** Threads below which a smaller register tile is taken, so that a wide adapter still has something to do. */
const FEW_THREADS = 4096;

/** Rows of a register tile, at most `most`: fewer when there are not so many rows, when a tile of 8 would be a seventh empty, or when `columns` (threads if each had
 *  one row) are few. */
export function rowsFor(rows: number, columns: number, most: 4 | 8): number {
  if (rows <= 2) return rows;
  const wasteful = ceilDiv(rows, 8) * 8 > 1.15 * ceilDiv(rows, 4) * 4;
  return most === 4 || wasteful || columns / 8 < FEW_THREADS ? 4 : 8;
}

/** Grid of `columns` × `tiles` workgroups where the tile index is `workgroup_id.y + workgroup_id.z·gridY`. */
export function tileGrid(columns: number, tiles: number): [x: number, y: number, z: number] {
  const z = ceilDiv(tiles, MAX_WORKGROUPS);
  return [columns, ceilDiv(tiles, z), z];
}
