import type { Shape } from "../../src/tensor.ts";

/** Coordinates of a flat index. */
export function unravel(index: number, shape: Shape): number[] {
  const at: number[] = [];
  for (let d = shape.length - 1, rest = index; d >= 0; d--) {
    at.unshift(rest % shape[d]!);
    rest = Math.floor(rest / shape[d]!);
  }
  return at;
}

/** Describes where `actual` leaves `expected`, or undefined when it stays within the bound everywhere. Equal non-finite values agree. */
export function mismatch(
  name: string,
  shape: Shape,
  actual: Float64Array,
  expected: Float64Array,
  bound: (expected: number) => number,
): string | undefined {
  const wrong = (i: number) => {
    const [a, e] = [actual[i]!, expected[i]!];
    return !(Object.is(a, e) || Math.abs(a - e) <= bound(e));
  };
  let count = 0;
  let worst = -1;
  let first = -1;
  let worstError = -1;
  for (let i = 0; i < expected.length; i++) {
    if (!wrong(i)) continue;
    count++;
    if (first < 0) first = i;
    const d = Math.abs(actual[i]! - expected[i]!);
    const error = Number.isNaN(d) ? Infinity : d / bound(expected[i]!);
    if (error > worstError) [worst, worstError] = [i, error];
  }
  if (count === 0) return undefined;
  const describe = (i: number) => {
    const d = Math.abs(actual[i]! - expected[i]!);
    return `${name}[${unravel(i, shape).join(", ")}] = ${actual[i]!.toPrecision(6)}, expected ${expected[i]!.toPrecision(6)} (|d| ${d.toExponential(2)} > ${bound(expected[i]!).toExponential(2)})`;
  };
  const from = Math.max(0, first - 2);
  const neighbours = [...expected.subarray(from, first + 6)].map(
    (e, k) => `    ${from + k === first ? ">" : " "} ${actual[from + k]!.toPrecision(6)}  ${e.toPrecision(6)}`,
  );
  return [
    `${count} of ${expected.length} wrong`,
    `  first: ${describe(first)}`,
    `  worst: ${describe(worst)}`,
    `  actual, expected around the first:`,
    ...neighbours,
  ].join("\n");
}
