// Sinusoids of timesteps: y[t] = (sin t·f_0 … sin t·f_{h−1}, cos t·f_0 … cos t·f_{h−1}), or the cosines first. One thread per (t, k), in f32.
// Ho et al. 2020, arXiv:2006.11239; Vaswani et al. 2017.
//!use mul-high
//!use sincos

alias elem = f32;
override WG: u32 = 64;
override COS_FIRST: bool = false;

struct Params {
  pairs: u32, // T·half
  half: u32,
  gridX: u32, // workgroups along x
}

@group(0) @binding(0) var<storage, read> t: array<f32>;           // [T]
@group(0) @binding(1) var<storage, read> frequencies: array<f32>; // [half]
@group(0) @binding(2) var<storage, read_write> y: array<elem>;    // [T, 2·half]
@group(1) @binding(0) var<uniform> p: Params;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = (wg.x + wg.y * p.gridX) * WG + lane;
  if (i >= p.pairs) { return; }
  let row = i / p.half;
  let k = i % p.half;
  let sc = sincos(t[row] * frequencies[k]);
  let at = 2u * p.half * row + k;
  y[at] = elem(select(sc.x, sc.y, COS_FIRST));
  y[at + p.half] = elem(select(sc.y, sc.x, COS_FIRST));
}
