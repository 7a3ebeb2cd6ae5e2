import { LimitError } from "../errors.ts";
import { alignUp } from "../tensor.ts";

/** A block of memory needed from step `first` to step `last`, both included. */
export interface Interval<K> {
  readonly key: K;
  readonly label: string;
  readonly bytes: number;
  readonly first: number;
  readonly last: number;
}

export interface Placement<K> {
  readonly places: ReadonlyMap<K, { readonly arena: number; readonly offset: number }>;
  /** Bytes of each arena. */
  readonly arenas: readonly number[];
  /** The most bytes alive at one time. */
  readonly lowerBound: number;
}

/** WebGPU's default minimum for storage-buffer offsets. */
const ALIGNMENT = 256;

/** Places blocks in as few arenas and bytes as a greedy pass finds, largest first.
 *
 *  Blocks alive at the same time never overlap. Blocks that `conflicts` names (an op's input and its output) get different arenas: WebGPU forbids
 *  binding one buffer for reading and for writing in one dispatch, even at disjoint ranges.
 *  @throws {LimitError} one block is larger than a buffer may be */
export function place<K>(
  blocks: readonly Interval<K>[],
  conflicts: (key: K) => ReadonlySet<K>,
  maxArenaBytes: number,
): Placement<K> {
  interface Placed extends Interval<K> {
    readonly offset: number;
  }
  const arenas: { bytes: number; blocks: Placed[] }[] = [];
  const places = new Map<K, { arena: number; offset: number }>();
  const ordered = [...blocks].sort((a, b) => b.bytes - a.bytes || a.first - b.first);
  for (const block of ordered) {
    const size = alignUp(block.bytes, ALIGNMENT);
    if (size > maxArenaBytes)
      throw new LimitError(
        `'${block.label}' needs ${size} bytes, a buffer of this device holds ${maxArenaBytes}`,
        "choose a smaller picture or dtype f16",
      );
    const forbidden = new Set([...conflicts(block.key)].map((k) => places.get(k)?.arena));
    let best: { arena: number; offset: number; growth: number } | undefined;
    for (const [arena, { bytes, blocks: there }] of arenas.entries()) {
      if (forbidden.has(arena)) continue;
      const offset = firstFit(there, block, size);
      const growth = Math.max(0, offset + size - bytes);
      if (offset + size <= maxArenaBytes && (!best || growth < best.growth)) best = { arena, offset, growth };
    }
    if (!best) {
      best = { arena: arenas.length, offset: 0, growth: size };
      arenas.push({ bytes: 0, blocks: [] });
    }
    const home = arenas[best.arena]!;
    home.bytes = Math.max(home.bytes, best.offset + size);
    home.blocks.push({ ...block, offset: best.offset });
    places.set(block.key, { arena: best.arena, offset: best.offset });
  }
  return { places, arenas: arenas.map((a) => a.bytes), lowerBound: peak(blocks) };
}

/** The lowest offset at which `size` bytes are free for the block's whole life. */
function firstFit<K>(there: readonly (Interval<K> & { offset: number })[], block: Interval<K>, size: number): number {
  const alive = there.filter((b) => b.first <= block.last && block.first <= b.last).sort((a, b) => a.offset - b.offset);
  let offset = 0;
  for (const b of alive) {
    if (offset + size <= b.offset) break;
    offset = Math.max(offset, b.offset + alignUp(b.bytes, ALIGNMENT));
  }
  return offset;
}

function peak(blocks: readonly Interval<unknown>[]): number {
  const times = new Set(blocks.map((b) => b.first));
  let most = 0;
  for (const t of times) {
    const alive = blocks.reduce((n, b) => n + (b.first <= t && t <= b.last ? alignUp(b.bytes, ALIGNMENT) : 0), 0);
    most = Math.max(most, alive);
  }
  return most;
}
