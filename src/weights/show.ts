/** Text from a file, fit for a message or a terminal: control characters escaped, cut to `most` characters, quoted. */
export function quote(text: string, most = 160): string {
  return `'${printable(text, most)}'`;
}

/** As `quote`, without the quotes. */
export function printable(text: string, most = 160): string {
  const cut = text.length > most ? `${text.slice(0, most)}…` : text;
  // C0, DEL, C1, the bidi controls and lone surrogates: what could forge or hide terminal output.
  return cut.replace(/[\p{Cc}\p{Cf}\p{Cs}\u2028\u2029]/gu, (c) => `\\u{${c.codePointAt(0)!.toString(16)}}`);
}

/** The first few of a list and how many more there are. */
export function firstFew(names: readonly string[], most = 4): string {
  const shown = names.slice(0, most).map((n) => quote(n));
  return names.length > most ? `${shown.join(", ")} and ${names.length - most} more` : shown.join(", ");
}

/** `3 tensors`, `1 tensor`. */
export function count(n: number, noun: string): string {
  return `${n} ${noun}${n === 1 ? "" : "s"}`;
}

/** Those names that differ from `name` by the fewest edits, best first. */
export function nearestNames(name: string, names: Iterable<string>, most = 3): string[] {
  const limit = Math.max(2, Math.floor(name.length / 3));
  return [...names]
    .map((other) => ({ other, edits: editDistance(name, other, limit) }))
    .filter(({ edits }) => edits <= limit)
    .sort((a, b) => a.edits - b.edits || (a.other < b.other ? -1 : 1))
    .slice(0, most)
    .map(({ other }) => other);
}

/** Levenshtein distance, or anything above `limit` once it is sure to exceed it. */
function editDistance(a: string, b: string, limit: number): number {
  if (Math.abs(a.length - b.length) > limit) return limit + 1;
  let above = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const swap = above[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      row.push(Math.min(swap, above[j]! + 1, row[j - 1]! + 1));
    }
    if (Math.min(...row) > limit) return limit + 1;
    above = row;
  }
  return above[b.length]!;
}

/** Whether the text holds half a surrogate pair, which has no UTF-8 form. */
export function hasLoneSurrogate(text: string): boolean {
  return /\p{Cs}/u.test(text);
}
