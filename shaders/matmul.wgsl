// y = act(x·W + bias) + residual, one W for all rows or one per batch; W is [K, N], or [N, K] with TRANSPOSE_B. K and N are multiples of 4.
// A thread owns ROWS rows × 4 columns in registers; lanes lie along N, so that a subgroup reads one address of x and a contiguous run of W.
// No shared memory and no barrier: software adapters suspend at barriers, and caches of real ones hold the reuse. Accumulates in f32.

//!use activation
//!use weight

alias elem = f32;
alias elem4 = vec4<elem>;
alias wvec4 = vec4<f32>;

override WX: u32 = 16;   // lanes along N
override WY: u32 = 4;    // lanes along M
override ROWS: u32 = 8;  // 1 to 8
override ACT: u32 = 0;
override HAS_BIAS: bool = false;
override HAS_RESIDUAL: bool = false;
override TRANSPOSE_B: bool = false;

struct Params {
  rows: u32,          // M: rows of one batch
  cols4: u32,         // N / 4
  inner4: u32,        // K / 4
  batches: u32,       // 1 when all rows share W
  tilesPerBatch: u32, // ⌈M / (WY·ROWS)⌉
  gridY: u32,
}

@group(0) @binding(0) var<storage, read> x: array<elem4>;         // [batches, M, K/4]
@group(0) @binding(1) var<storage, read> weight: array<wvec4>;    // [batches, K, N/4] or [batches, N, K/4]
@group(0) @binding(2) var<storage, read> bias: array<vec4f>;      // [N/4]
@group(0) @binding(3) var<storage, read> residual: array<elem4>;  // [batches, M, N/4]
@group(0) @binding(4) var<storage, read_write> y: array<elem4>;   // [batches, M, N/4]
@group(1) @binding(0) var<uniform> p: Params;

// The chain starts at the accumulator: lavapipe spills registers when four products are summed first.
fn accumulate(s: vec4f, a: vec4f, w0: vec4f, w1: vec4f, w2: vec4f, w3: vec4f) -> vec4f {
  return fma(vec4f(a.w), w3, fma(vec4f(a.z), w2, fma(vec4f(a.y), w1, fma(vec4f(a.x), w0, s))));
}

fn finish(first: u32, row: u32, col: u32, s: vec4f) {
  if (row >= p.rows) { return; }
  let i = first + row * p.cols4 + col;
  var v = s;
  if (HAS_BIAS) { v += bias[col]; }
  v = activate4(v);
  if (HAS_RESIDUAL) { v += vec4f(residual[i]); }
  y[i] = elem4(v);
}

@compute @workgroup_size(WX, WY)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(local_invocation_id) lid: vec3u) {
  let tile = wg.y + wg.z * p.gridY;
  let batch = tile / p.tilesPerBatch;
  if (batch >= p.batches) { return; }
  let row = ((tile - batch * p.tilesPerBatch) * WY + select(lid.y, 0u, WY == 1u)) * ROWS;
  let col = wg.x * WX + lid.x;

  // Rows and columns past the end repeat the last one and are not stored.
  let k4 = p.inner4;
  let last = p.rows - 1u;
  let x_first = batch * p.rows * k4;
  let x0 = x_first + min(row, last) * k4;
  let x1 = x_first + min(row + 1u, last) * k4;
  let x2 = x_first + min(row + 2u, last) * k4;
  let x3 = x_first + min(row + 3u, last) * k4;
  let x4 = x_first + min(row + 4u, last) * k4;
  let x5 = x_first + min(row + 5u, last) * k4;
  let x6 = x_first + min(row + 6u, last) * k4;
  let x7 = x_first + min(row + 7u, last) * k4;

  let w_col = min(col, p.cols4 - 1u);
  let w_stride = select(p.cols4, k4, TRANSPOSE_B);
  let w_step = select(4u * p.cols4, 1u, TRANSPOSE_B);
  var o = batch * 4u * k4 * p.cols4 + select(w_col, 4u * w_col * k4, TRANSPOSE_B);

  // Constant indices below: SwiftShader keeps an array with a loop's index in memory, at half the speed.
  var s: array<vec4f, 8>;
  for (var k = 0u; k < k4; k++) {
    var w0 = load_weight(weight[o]);
    var w1 = load_weight(weight[o + w_stride]);
    var w2 = load_weight(weight[o + 2u * w_stride]);
    var w3 = load_weight(weight[o + 3u * w_stride]);
    o += w_step;
    if (TRANSPOSE_B) {
      let t = transpose(mat4x4f(w0, w1, w2, w3));
      w0 = t[0];
      w1 = t[1];
      w2 = t[2];
      w3 = t[3];
    }
    s[0] = accumulate(s[0], vec4f(x[x0 + k]), w0, w1, w2, w3);
    if (ROWS > 1u) { s[1] = accumulate(s[1], vec4f(x[x1 + k]), w0, w1, w2, w3); }
    if (ROWS > 2u) { s[2] = accumulate(s[2], vec4f(x[x2 + k]), w0, w1, w2, w3); }
    if (ROWS > 3u) { s[3] = accumulate(s[3], vec4f(x[x3 + k]), w0, w1, w2, w3); }
    if (ROWS > 4u) { s[4] = accumulate(s[4], vec4f(x[x4 + k]), w0, w1, w2, w3); }
    if (ROWS > 5u) { s[5] = accumulate(s[5], vec4f(x[x5 + k]), w0, w1, w2, w3); }
    if (ROWS > 6u) { s[6] = accumulate(s[6], vec4f(x[x6 + k]), w0, w1, w2, w3); }
    if (ROWS > 7u) { s[7] = accumulate(s[7], vec4f(x[x7 + k]), w0, w1, w2, w3); }
  }

  if (col >= p.cols4) { return; }
  let first = batch * p.rows * p.cols4;
  finish(first, row, col, s[0]);
  if (ROWS > 1u) { finish(first, row + 1u, col, s[1]); }
  if (ROWS > 2u) { finish(first, row + 2u, col, s[2]); }
  if (ROWS > 3u) { finish(first, row + 3u, col, s[3]); }
  if (ROWS > 4u) { finish(first, row + 4u, col, s[4]); }
  if (ROWS > 5u) { finish(first, row + 5u, col, s[5]); }
  if (ROWS > 6u) { finish(first, row + 6u, col, s[6]); }
  if (ROWS > 7u) { finish(first, row + 7u, col, s[7]); }
}
