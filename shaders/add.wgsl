// y = a + b·scale, elementwise; b may be shorter and then repeats: y[i] = a[i] + scale·b[i mod B].
// One thread per element. Accumulates in f32.

alias elem = f32;
override WG: u32 = 64;

struct Params {
  count: u32,     // elements of a and y
  bCount: u32,   // elements of b; divides count
  scale: f32,
  gridX: u32,    // workgroups along x
}

@group(0) @binding(0) var<storage, read> a: array<elem>;        // [count]
@group(0) @binding(1) var<storage, read> b: array<elem>;        // [bCount]
@group(0) @binding(2) var<storage, read_write> y: array<elem>;  // [count]
@group(1) @binding(0) var<uniform> p: Params;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = (wg.x + wg.y * p.gridX) * WG + lane;
  if (i >= p.count) { return; }
  y[i] = elem(f32(a[i]) + p.scale * f32(b[i % p.bCount]));
}
