import { InternalError } from "../errors.ts";
import { ceilDiv } from "../tensor.ts";
import { flatGrid, launch, type Launch } from "./contract.ts";
import { repack as contract } from "./contracts.gen.ts";

export interface RepackOptions {
  /** Dtype in the file. */
  readonly source: "F32" | "F16" | "BF16";
  readonly target: "f32" | "f16";
  /** Rows that the chunk holds, first included, last excluded. Chunks begin at even rows, and end at one or at the tensor's end. */
  readonly rows: readonly [begin: number, end: number];
  /** The tensor in the file: [O, I, P], P the taps of a convolution. */
  readonly O: number;
  readonly I: number;
  readonly P: number;
}

const sources = { F32: 0, F16: 1, BF16: 2 } as const;

/** Moves a chunk of whole rows of a weight [O, I, P] to its place in [P, I, O], in the target's dtype. I = P = 1 is a copy in order.
 *
 *  Binds `raw`, the chunk's bytes, and `y`, the whole destination, zero before the first chunk. Chunks of one tensor run one after the other.
 *  @throws {InternalError} a chunk begins at an odd row and would share words with the one before */
export function repackLaunch({ source, target, rows: [begin, end], O, I, P }: RepackOptions): Launch {
  if (begin % 2 !== 0) throw new InternalError(`repack: a chunk begins at row ${begin}`);
  const rows = end - begin;
  const half = target === "f16";
  const odd = half && O % 2 === 1;
  const threads = odd ? ceilDiv(O * I * P, 2) : (rows / (half ? 2 : 1)) * ceilDiv(I * P, contract.consts.RUN);
  const grid = flatGrid(ceilDiv(threads, 64));
  return launch(contract, {
    params: { rowBegin: begin, rows, O, I, P, threads, gridX: grid[0] },
    overrides: { SOURCE: sources[source], TARGET_HALF: half, ODD: odd },
    workgroups: grid,
  });
}
