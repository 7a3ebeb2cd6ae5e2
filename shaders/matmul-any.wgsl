// y = act(x·W + bias) + residual for any sizes, such as the 77 keys of cross-attention: matmul.wgsl with scalar loads.
// A thread owns ROWS rows × 1 column in registers; lanes lie along N. Accumulates in f32.

//!use activation
//!use weight-scalar

alias elem = f32;
alias wscalar = f32;

override WX: u32 = 16;  // lanes along N
override WY: u32 = 4;   // lanes along M
override ROWS: u32 = 4; // 1 to 4
override ACT: u32 = 0;
override HAS_BIAS: bool = false;
override HAS_RESIDUAL: bool = false;
override TRANSPOSE_B: bool = false;

struct Params {
  rows: u32,          // M: rows of one batch
  cols: u32,          // N
  inner: u32,         // K
  batches: u32,       // 1 when all rows share W
  tilesPerBatch: u32, // ⌈M / (WY·ROWS)⌉
  gridY: u32,
}

@group(0) @binding(0) var<storage, read> x: array<elem>;         // [batches, M, K]
@group(0) @binding(1) var<storage, read> weight: array<wscalar>; // [batches, K, N] or [batches, N, K]
@group(0) @binding(2) var<storage, read> bias: array<f32>;       // [N]
@group(0) @binding(3) var<storage, read> residual: array<elem>;  // [batches, M, N]
@group(0) @binding(4) var<storage, read_write> y: array<elem>;   // [batches, M, N]
@group(1) @binding(0) var<uniform> p: Params;

fn finish(first: u32, row: u32, col: u32, s: f32) {
  if (row >= p.rows) { return; }
  let i = first + row * p.cols + col;
  var v = s;
  if (HAS_BIAS) { v += bias[col]; }
  v = activate(v);
  if (HAS_RESIDUAL) { v += f32(residual[i]); }
  y[i] = elem(v);
}

@compute @workgroup_size(WX, WY)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(local_invocation_id) lid: vec3u) {
  let tile = wg.y + wg.z * p.gridY;
  let batch = tile / p.tilesPerBatch;
  if (batch >= p.batches) { return; }
  let row = ((tile - batch * p.tilesPerBatch) * WY + select(lid.y, 0u, WY == 1u)) * ROWS;
  let col = wg.x * WX + lid.x;

  // Rows and columns past the end repeat the last one and are not stored.
  let last = p.rows - 1u;
  let x_first = batch * p.rows * p.inner;
  let x0 = x_first + min(row, last) * p.inner;
  let x1 = x_first + min(row + 1u, last) * p.inner;
  let x2 = x_first + min(row + 2u, last) * p.inner;
  let x3 = x_first + min(row + 3u, last) * p.inner;

  let w_col = min(col, p.cols - 1u);
  let w_step = select(p.cols, 1u, TRANSPOSE_B);
  var o = batch * p.inner * p.cols + select(w_col, w_col * p.inner, TRANSPOSE_B);

  var s: vec4f;
  for (var k = 0u; k < p.inner; k++) {
    let w = load_weight_at(o);
    o += w_step;
    s.x = fma(f32(x[x0 + k]), w, s.x);
    if (ROWS > 1u) { s.y = fma(f32(x[x1 + k]), w, s.y); }
    if (ROWS > 2u) { s.z = fma(f32(x[x2 + k]), w, s.z); }
    if (ROWS > 3u) { s.w = fma(f32(x[x3 + k]), w, s.w); }
  }

  if (col >= p.cols) { return; }
  let first = batch * p.rows * p.cols;
  finish(first, row, col, s.x);
  if (ROWS > 1u) { finish(first, row + 1u, col, s.y); }
  if (ROWS > 2u) { finish(first, row + 2u, col, s.z); }
  if (ROWS > 3u) { finish(first, row + 3u, col, s.w); }
}
