// Pictures as bytes: y = R + 2^8·G + 2^16·B + 2^24·255 with each channel round(255·clamp(scale·x + shift, 0, 1)), halves to even; a pixel with a NaN
// becomes 0, transparent unlike any other, for the host to count. One thread per pixel, in f32.

alias elem = f32;
override WG: u32 = 64;

struct Params {
  count: u32, // pixels
  scale: f32,
  shift: f32,
  gridX: u32, // workgroups along x
}

@group(0) @binding(0) var<storage, read> x: array<elem>;      // [N, H, W, 3]
@group(0) @binding(1) var<storage, read_write> y: array<u32>; // [N, H, W]
@group(1) @binding(0) var<uniform> p: Params;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = (wg.x + wg.y * p.gridX) * WG + lane;
  if (i >= p.count) { return; }
  let rgb = vec3f(f32(x[3u * i]), f32(x[3u * i + 1u]), f32(x[3u * i + 2u]));
  let bytes = vec3u(round(clamp(rgb * p.scale + p.shift, vec3f(0.0), vec3f(1.0)) * 255.0));
  // By bits: a compiler may take it that x == x.
  let nan = any((bitcast<vec3u>(rgb) & vec3u(0x7fffffffu)) > vec3u(0x7f800000u));
  y[i] = select(bytes.x | (bytes.y << 8u) | (bytes.z << 16u) | 0xff000000u, 0u, nan);
}
