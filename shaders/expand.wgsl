// Repetition along the batch with a cast and an affine map in f32: y[i] = scale·x[i mod X] + shift. One thread per `wide` of y.

alias stored = vec4<f32>;
alias result = vec4<f32>;
alias wide = vec4<f32>;
override WG: u32 = 64;

struct Params {
  count: u32,  // elements of y, in `wide`s
  xCount: u32, // elements of x, in `wide`s; divides count
  scale: f32,
  shift: f32,
  gridX: u32,  // workgroups along x
}

@group(0) @binding(0) var<storage, read> x: array<stored>;       // [N, …]
@group(0) @binding(1) var<storage, read_write> y: array<result>; // [times·N, …]
@group(1) @binding(0) var<uniform> p: Params;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = (wg.x + wg.y * p.gridX) * WG + lane;
  if (i >= p.count) { return; }
  y[i] = result(p.scale * wide(x[i % p.xCount]) + p.shift);
}
