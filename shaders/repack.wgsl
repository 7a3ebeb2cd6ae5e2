// Weights from a checkpoint's bytes to the kernels' layout: y[p, i, o] = convert(raw[o, i, p]), for the rows o that a chunk holds.
// One thread per row (f16: pair of rows) and run of its elements; consecutive threads on consecutive o, so that the stores coalesce.
// All conversions on bits: exact to f32, rounded to nearest even to f16, subnormals included (WGSL's own unpacking may flush them).
// With I = P = 1 it is a plain copy.

override WG: u32 = 64;
override SOURCE: u32 = 1;         // 0 F32, 1 F16, 2 BF16
override TARGET_HALF: bool = true; // f16 pairs, else f32
override ODD: bool = false;        // O is odd and the target f16: a word may hold elements of two rows, and threads run over all words of y

// Elements of a row that a thread moves: its reads share cache lines, and the divisions are paid once.
const RUN: u32 = 8u;

struct Params {
  rowBegin: u32, // first row of y that the chunk holds
  rows: u32,     // how many
  O: u32,
  I: u32,
  P: u32,
  threads: u32,
  gridX: u32,    // workgroups along x
}

@group(0) @binding(0) var<storage, read> raw: array<u32>;       // [rows, I, P] in the file's dtype
@group(0) @binding(1) var<storage, read_write> y: array<u32>;   // [P, I, O]
@group(1) @binding(0) var<uniform> p: Params;

// f16 bits → f32 bits
fn half_to_single(h: u32) -> u32 {
  let sign = (h & 0x8000u) << 16u;
  let exponent = (h >> 10u) & 31u;
  let mantissa = h & 1023u;
  if (exponent == 0u) { return sign | bitcast<u32>(f32(mantissa) * 5.9604644775390625e-8); }
  if (exponent == 31u) { return sign | 0x7f800000u | (mantissa << 13u); }
  return sign | ((exponent + 112u) << 23u) | (mantissa << 13u);
}

// f32 bits → f16 bits, to nearest even
fn single_to_half(b: u32) -> u32 {
  let sign = (b >> 16u) & 0x8000u;
  let a = b & 0x7fffffffu;
  if (a > 0x7f800000u) { return sign | 0x7e00u; }  // NaN
  if (a >= 0x477ff000u) { return sign | 0x7c00u; } // from 65520 on: infinity
  if (a >= 0x38800000u) {                          // from 2^-14 on: normal
    let r = a - 0x38000000u;
    return sign | ((r + 0xfffu + ((r >> 13u) & 1u)) >> 13u);
  }
  if (a <= 0x33000000u) { return sign; }           // up to 2^-25: zero
  let shift = 126u - (a >> 23u);
  let m = (a & 0x7fffffu) | 0x800000u;
  let r = m >> shift;
  let rest = m & ((1u << shift) - 1u);
  let half = 1u << (shift - 1u);
  return sign | (r + select(0u, 1u, rest > half || (rest == half && (r & 1u) == 1u)));
}

// The file's element n of the chunk, as f32 bits, or as f16 bits where the target is f16 too.
fn element(n: u32) -> u32 {
  if (SOURCE == 0u) {
    return select(raw[n], single_to_half(raw[n]), TARGET_HALF);
  }
  let h = (raw[n >> 1u] >> ((n & 1u) * 16u)) & 0xffffu;
  if (SOURCE == 2u) {
    return select(h << 16u, single_to_half(h << 16u), TARGET_HALF);
  }
  if (TARGET_HALF) { return h; }
  return half_to_single(h);
}

// Element of y at (k, o), k = p·I + i.
fn moved(k: u32, o: u32) -> u32 {
  let i = k % p.I;
  let tap = k / p.I;
  return element(((o - p.rowBegin) * p.I + i) * p.P + tap);
}

fn held(o: u32) -> bool {
  return o >= p.rowBegin && o < p.rowBegin + p.rows;
}

// Word t of y. What this chunk does not hold stays as an earlier one left it, or zero.
fn move_word(t: u32) {
  let n = 2u * t;
  let total = p.O * p.I * p.P;
  var word = y[t];
  if (held(n % p.O)) { word = (word & 0xffff0000u) | moved(n / p.O, n % p.O); }
  if (n + 1u < total && held((n + 1u) % p.O)) { word = (word & 0xffffu) | (moved((n + 1u) / p.O, (n + 1u) % p.O) << 16u); }
  y[t] = word;
}

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(local_invocation_index) lane: u32) {
  let t = (wg.x + wg.y * p.gridX) * WG + lane;
  if (t >= p.threads) { return; }
  if (ODD) {
    move_word(t);
    return;
  }
  // A row, or with an f16 target a pair of rows, by a run of its I·P elements.
  let per = select(1u, 2u, TARGET_HALF);
  let columns = p.rows / per;
  let run = t / columns;
  let row = (t - run * columns) * per;
  let length = p.I * p.P;
  let first = run * RUN;
  let count = min(RUN, length - first);
  var i = first / p.P;
  var tap = first - i * p.P;
  var n = row * length + first;
  for (var r = 0u; r < count; r++) {
    var word = element(n);
    if (TARGET_HALF) { word |= element(n + length) << 16u; }
    y[((tap * p.I + i) * p.O + p.rowBegin + row) / per] = word;
    n++;
    tap++;
    if (tap == p.P) {
      tap = 0u;
      i++;
    }
  }
}
