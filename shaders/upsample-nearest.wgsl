// Nearest-neighbour upsampling by 2: y[n, h, w, c] = x[n, ⌊h/2⌋, ⌊w/2⌋, c]. A copy: one thread per `stored` of y.

alias stored = vec4<f32>;
override WG: u32 = 64;

struct Params {
  count: u32,    // elements of y, in `stored`s
  width: u32,    // W of x
  channels: u32, // C, in `stored`s
  gridX: u32,    // workgroups along x
}

@group(0) @binding(0) var<storage, read> x: array<stored>;       // [N, H, W, C]
@group(0) @binding(1) var<storage, read_write> y: array<stored>; // [N, 2H, 2W, C]
@group(1) @binding(0) var<uniform> p: Params;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = (wg.x + wg.y * p.gridX) * WG + lane;
  if (i >= p.count) { return; }
  let c = i % p.channels;
  let pixel = i / p.channels;
  let w = pixel % (2u * p.width);
  // Counted over the whole batch: 2H is even, so that half a row number stays within its image.
  let row = pixel / (2u * p.width);
  y[i] = x[((row / 2u) * p.width + w / 2u) * p.channels + c];
}
