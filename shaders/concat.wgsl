// Concatenation along the channels: y[r] = (a[r], b[r]). A copy: one thread per `stored` of y.

alias stored = vec4<f32>;
override WG: u32 = 64;

struct Params {
  count: u32,     // elements of y, in `stored`s
  aChannels: u32, // Ca, in `stored`s
  bChannels: u32, // Cb, in `stored`s
  gridX: u32,     // workgroups along x
}

@group(0) @binding(0) var<storage, read> a: array<stored>;       // [rows, Ca]
@group(0) @binding(1) var<storage, read> b: array<stored>;       // [rows, Cb]
@group(0) @binding(2) var<storage, read_write> y: array<stored>; // [rows, Ca + Cb]
@group(1) @binding(0) var<uniform> p: Params;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = (wg.x + wg.y * p.gridX) * WG + lane;
  if (i >= p.count) { return; }
  let channels = p.aChannels + p.bChannels;
  let r = i / channels;
  let c = i % channels;
  if (c < p.aChannels) {
    y[i] = a[r * p.aChannels + c];
  } else {
    y[i] = b[r * p.bChannels + c - p.aChannels];
  }
}
