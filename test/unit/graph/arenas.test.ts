import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { place, type Interval } from "../../../src/graph/arenas.ts";
import { alignUp } from "../../../src/tensor.ts";

const none = () => new Set<number>();

/** Random lifetimes and sizes; some pairs may not share an arena. */
const scene = fc
  .array(fc.record({ bytes: fc.integer({ min: 1, max: 5000 }), first: fc.nat(20), length: fc.nat(8) }), {
    maxLength: 40,
  })
  .chain((raw) => {
    const blocks = raw.map(({ bytes, first, length }, key): Interval<number> => ({
      key,
      label: `b${key}`,
      bytes,
      first,
      last: first + length,
    }));
    const index = fc.nat(Math.max(0, blocks.length - 1));
    return fc.record({ blocks: fc.constant(blocks), pairs: fc.array(fc.tuple(index, index), { maxLength: 30 }) });
  });

describe("arenas", () => {
  it("never overlaps blocks that live at the same time, and keeps conflicting ones apart", () => {
    fc.assert(
      fc.property(scene, ({ blocks, pairs }) => {
        const conflicts = (k: number) =>
          new Set(pairs.flatMap(([a, b]) => (a === b ? [] : a === k ? [b] : b === k ? [a] : [])));
        const { places, arenas } = place(blocks, conflicts, 1 << 20);
        for (const a of blocks) {
          const pa = places.get(a.key)!;
          expect(pa.offset % 256).toBe(0);
          expect(pa.offset + a.bytes).toBeLessThanOrEqual(arenas[pa.arena]!);
          for (const b of blocks) {
            if (b.key <= a.key) continue;
            const pb = places.get(b.key)!;
            if (conflicts(a.key).has(b.key)) expect(pa.arena).not.toBe(pb.arena);
            const together = a.first <= b.last && b.first <= a.last && pa.arena === pb.arena;
            if (together) expect(pa.offset + a.bytes <= pb.offset || pb.offset + b.bytes <= pa.offset).toBe(true);
          }
        }
      }),
    );
  });

  it("states the most bytes alive at one time", () => {
    const block = (key: number, bytes: number, first: number, last: number): Interval<number> => ({
      key,
      label: "",
      bytes,
      first,
      last,
    });
    const { lowerBound, arenas } = place(
      [block(0, 256, 0, 1), block(1, 512, 1, 2), block(2, 256, 3, 4)],
      none,
      1 << 20,
    );
    expect(lowerBound).toBe(768);
    expect(arenas).toEqual([768]);
  });

  it("opens another arena where one would grow past a buffer", () => {
    const block = (key: number): Interval<number> => ({ key, label: "", bytes: 600, first: 0, last: 1 });
    const { arenas } = place([block(0), block(1)], none, 1024);
    expect(arenas).toEqual([alignUp(600, 256), alignUp(600, 256)]);
  });

  it("refuses a block larger than a buffer, with both numbers", () => {
    expect(() => place([{ key: 0, label: "up_blocks.3", bytes: 2000, first: 0, last: 0 }], none, 1024)).toThrow(
      "'up_blocks.3' needs 2048 bytes, a buffer of this device holds 1024",
    );
  });
});
