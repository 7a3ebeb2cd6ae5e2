// y = act(x), elementwise, in f32. One thread per `wide` of neighbouring elements.
//!use activation
//!use activation-wide

alias stored = vec4<f32>;
alias wide = vec4<f32>;
override WG: u32 = 64;
override ACT: u32 = 0;

struct Params {
  count: u32, // elements of x and y, in `wide`s
  gridX: u32, // workgroups along x
}

@group(0) @binding(0) var<storage, read> x: array<stored>;       // [count]
@group(0) @binding(1) var<storage, read_write> y: array<stored>; // [count]
@group(1) @binding(0) var<uniform> p: Params;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = (wg.x + wg.y * p.gridX) * WG + lane;
  if (i >= p.count) { return; }
  y[i] = stored(activate_wide(wide(x[i])));
}
