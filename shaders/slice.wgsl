// Some of the channels: y[r, c] = x[r, from + c]. A copy: one thread per `stored` of y.

alias stored = vec4<f32>;
override WG: u32 = 64;

struct Params {
  count: u32,     // elements of y, in `stored`s
  xChannels: u32, // C, in `stored`s
  yChannels: u32, // to − from, in `stored`s
  first: u32,     // `from`, in `stored`s
  gridX: u32,     // workgroups along x
}

@group(0) @binding(0) var<storage, read> x: array<stored>;       // [rows, C]
@group(0) @binding(1) var<storage, read_write> y: array<stored>; // [rows, to − from]
@group(1) @binding(0) var<uniform> p: Params;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = (wg.x + wg.y * p.gridX) * WG + lane;
  if (i >= p.count) { return; }
  y[i] = x[(i / p.yChannels) * p.xChannels + p.first + i % p.yChannels];
}
