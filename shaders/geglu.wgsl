// Gated unit over [rows, 2D]: y[r, d] = x[r, d]·act(x[r, D + d]), with act = gelu for GEGLU. One thread per `wide` of y, in f32.
// Shazeer 2020, arXiv:2002.05202.
//!use activation
//!use activation-wide

alias stored = vec4<f32>;
alias wide = vec4<f32>;
override WG: u32 = 64;
override ACT: u32 = 2; // GELU

struct Params {
  count: u32, // elements of y, in `wide`s
  width: u32, // D, in `wide`s
  gridX: u32, // workgroups along x
}

@group(0) @binding(0) var<storage, read> x: array<stored>;       // [rows, 2D]
@group(0) @binding(1) var<storage, read_write> y: array<stored>; // [rows, D]
@group(1) @binding(0) var<uniform> p: Params;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = (wg.x + wg.y * p.gridX) * WG + lane;
  if (i >= p.count) { return; }
  let at = i + (i / p.width) * p.width;
  y[i] = stored(wide(x[at]) * activate_wide(wide(x[at + p.width])));
}
