// Noise prediction of a one-dimensional Gaussian mixture, known in closed form: under ā it is Σ w_k·N(√ā·μ_k, v), v = ā·s² + 1 − ā, and
//   ε = −√(1−ā)·∇ log p = √(1−ā)/v · Σ r_k·(q − √ā·μ_k),  r_k ∝ w_k·exp(−(q − √ā·μ_k)²/2v)
// for q the latent that the row in force asks about. One thread per element, two passes over the modes, in f32.
//!use sampler-state

override WG: u32 = 64;

struct Params {
  count: u32,        // elements of x and y
  modes: u32,
  variance: f32,     // s²
  outputOffset: u32, // element of `output` to begin at: the branch
  gridX: u32,        // workgroups along x
}

@group(0) @binding(0) var<storage, read> state: State;
@group(0) @binding(1) var<storage, read> x: array<f32>;             // [count]
@group(0) @binding(2) var<storage, read> y: array<f32>;             // [count]
@group(0) @binding(3) var<storage, read> mixture: array<vec2<f32>>; // [modes]: w_k, μ_k
@group(0) @binding(4) var<storage, read_write> output: array<f32>;  // [≥ outputOffset + count]
@group(1) @binding(0) var<uniform> p: Params;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = (wg.x + wg.y * p.gridX) * WG + lane;
  if (i >= p.count) { return; }
  let row = state.row;
  let signal = sqrt(row.alphaBar);
  let v = row.alphaBar * p.variance + row.oneMinusAlphaBar;
  let q = select(x[i], y[i], (row.flags & QUERY_Y) != 0u);

  // Relative to the nearest mode that has weight, no exponential overflows and not all vanish; factored, the squares do not cancel.
  var nearest = 3e38;
  for (var k = 0u; k < p.modes; k++) {
    let d = abs(q - signal * mixture[k].y);
    if (mixture[k].x > 0.0) { nearest = min(nearest, d); }
  }
  var total = 0.0;
  var mean = 0.0;
  for (var k = 0u; k < p.modes; k++) {
    let d = q - signal * mixture[k].y;
    if (mixture[k].x > 0.0) {
      let share = mixture[k].x * exp(-0.5 * (abs(d) - nearest) * (abs(d) + nearest) / v);
      total += share;
      mean += share * d;
    }
  }
  output[p.outputOffset + i] = sqrt(row.oneMinusAlphaBar) / v * mean / total;
}
