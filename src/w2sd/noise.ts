import { UsageError } from "../errors.ts";

/** Who drew the starting noise: `torch` is `torch.randn` on the CPU, `philox` is CUDA's generator as webui's "NV". */
export type NoiseGenerator = "torch" | "philox";

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

/** `count` standard normal values of Philox4x32-10, one counter a value, f32: element i of the `offset`-th draw from `seed`.
 *
 *  Equal to webui's "NV" noise, and to CUDA's `torch.randn` up to the size where CUDA starts to share counters.
 *  @throws {UsageError} the seed is not a whole number in 0 … 2⁵³ (as bigint: 0 … 2⁶⁴ − 1)
 *  @see Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3" */
export function philoxNoise(seed: number | bigint, count: number, offset = 0): Float32Array {
  const { low, high } = seedWords(seed);
  const out = new Float32Array(checkCount(count));
  for (let i = 0; i < count; i++) {
    const [x, y] = philox4x32(offset >>> 0, i, low, high);
    // Midpoints of the 2³² cells, so that the logarithm never meets 0.
    const u = (x + 0.5) * 2 ** -32;
    const v = (y + 0.5) * 2 ** -32 * 2 * Math.PI;
    out[i] = Math.sqrt(-2 * Math.log(u)) * Math.sin(v);
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

/** Words 0 and 1 of Philox4x32-10 at counter (c0, 0, c2, 0). */
function philox4x32(c0: number, c2: number, low: number, high: number): readonly [number, number] {
  let c1 = 0;
  let c3 = 0;
  for (let round = 0; round < 10; round++) {
    const [high0, low0] = multiply(0xd2511f53, c0);
    const [high2, low2] = multiply(0xcd9e8d57, c2);
    c0 = (high2 ^ c1 ^ low) >>> 0;
    c1 = low2;
    c2 = (high0 ^ c3 ^ high) >>> 0;
    c3 = low0;
    low = (low + 0x9e3779b9) >>> 0;
    high = (high + 0xbb67ae85) >>> 0;
  }
  return [c0, c1];
}

/** The upper and lower half of a 32 × 32-bit product, by way of 16-bit halves: f64 holds 53 of its 64 bits. */
function multiply(a: number, b: number): readonly [number, number] {
  const low = (a & 0xffff) * b;
  const high = (a >>> 16) * b + Math.floor(low / 0x10000);
  return [Math.floor(high / 0x10000), ((high << 16) | (low & 0xffff)) >>> 0];
}

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
