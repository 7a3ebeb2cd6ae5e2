import { UsageError } from "../errors.ts";

const fround = Math.fround;
const twoPi = fround(2 * Math.PI);

/** `count` standard normal values as `torch.manual_seed(seed); torch.randn(count)` draws them on a CPU, f32.
 *
 *  MT19937 seeded with seed mod 2³², Box-Muller in blocks of 16 (fewer than 16 values: in pairs, in f64). One call is one
 *  draw: a latent [1, C, H, W] is count = C·H·W, in that order. torch's own last bits depend on the CPU: with AVX2 or AVX-512
 *  these values are within 3 ulp of it, without within 2e-6.
 *  @throws {UsageError} the seed is not a whole number in 0 … 2⁵³ (as bigint: 0 … 2⁶⁴ − 1)
 *  @see Matsumoto & Nishimura 1998; Box & Muller 1958 */
export function torchNoise(seed: number | bigint, count: number): Float32Array {
  const word = mersenneTwister(seedWords(seed).low);
  const out = new Float32Array(checkCount(count));
  if (count < 16) {
    pairwise(out, word);
    return out;
  }
  const uniforms = (from: number, to: number) => {
    for (let k = from; k < to; k++) out[k] = (word() & 0xffffff) * 2 ** -24;
  };
  uniforms(0, count);
  for (let k = 0; k + 16 <= count; k += 16) blockOf16(out, k);
  if (count % 16 !== 0) {
    // The last block overlaps the one before it, and is drawn anew.
    uniforms(count - 16, count);
    blockOf16(out, count - 16);
  }
  return out;
}

/** Uniforms at k … k+15 become normals: value j is the radius, value j + 8 the angle of a pair. */
function blockOf16(out: Float32Array, k: number): void {
  for (let j = k; j < k + 8; j++) {
    // Rounded where torch rounds: an angle in f64 would move the result by up to 1e-6.
    const radius = fround(Math.sqrt(fround(-2 * fround(Math.log(1 - out[j]!)))));
    const angle = fround(twoPi * out[j + 8]!);
    out[j] = radius * fround(Math.cos(angle));
    out[j + 8] = radius * fround(Math.sin(angle));
  }
}

function pairwise(out: Float32Array, word: () => number): void {
  const uniform = () => {
    const high = word();
    // 53 bits of two words, of which the first holds the upper 21.
    return ((high & 0x1fffff) * 2 ** 32 + word()) * 2 ** -53;
  };
  for (let k = 0; k < out.length; k += 2) {
    const angle = 2 * Math.PI * uniform();
    const radius = Math.sqrt(-2 * Math.log1p(-uniform()));
    out[k] = radius * Math.cos(angle);
    if (k + 1 < out.length) out[k + 1] = radius * Math.sin(angle);
  }
}

/** The stream of 32-bit words of MT19937. */
function mersenneTwister(seed: number): () => number {
  const n = 624;
  const state = new Uint32Array(n);
  state[0] = seed;
  for (let k = 1; k < n; k++) {
    const previous = state[k - 1]!;
    state[k] = Math.imul(1812433253, previous ^ (previous >>> 30)) + k;
  }
  let next = n;
  const twist = () => {
    for (let k = 0; k < n; k++) {
      const y = (state[k]! & 0x80000000) | (state[(k + 1) % n]! & 0x7fffffff);
      state[k] = state[(k + 397) % n]! ^ (y >>> 1) ^ (y & 1 ? 0x9908b0df : 0);
    }
    next = 0;
  };
  return () => {
    if (next === n) twist();
    let y = state[next++]!;
    y ^= y >>> 11;
    y ^= (y << 7) & 0x9d2c5680;
    y ^= (y << 15) & 0xefc60000;
    return (y ^ (y >>> 18)) >>> 0;
  };
}

/** A seed as two 32-bit words: MT19937 takes the low one, Philox both as its key.
 *  @throws {UsageError} the seed is not a whole number in 0 … 2⁵³ (as bigint: 0 … 2⁶⁴ − 1) */
export function seedWords(seed: number | bigint): { low: number; high: number } {
  const fits =
    typeof seed === "bigint" ? seed >= 0n && seed < 2n ** 64n : Number.isInteger(seed) && seed >= 0 && seed <= 2 ** 53;
  if (!fits) {
    throw new UsageError(
      `seed ${seed}: not a whole number from 0 to 2^53`,
      "larger seeds, up to 2^64 - 1, can be given as a bigint",
    );
  }
  const bits = BigInt(seed);
  return { low: Number(bits & 0xffffffffn), high: Number(bits >> 32n) };
}

function checkCount(count: number): number {
  if (Number.isSafeInteger(count) && count >= 0) return count;
  throw new UsageError(`noise of ${count} values: the count is not a whole number ≥ 0`);
}
