// y = act(conv(x, W) + bias + addend) + residual over NHWC maps, zero outside, for any C and O: the RGB ends of an autoencoder.
// A thread owns up to 4 neighbouring pixels of one output line × 4 channels; lanes lie along pixels, since O may be 3 and maps are large there; the loads of W
// are the same for all lanes. Taps outside are skipped or select 0, as in conv2d.wgsl. Accumulates in f32.

//!use activation
//!use weight-scalar

alias elem = f32;
alias wscalar = f32;

override WG: u32 = 64;
override ROWS: u32 = 4;  // 1 to 4
override ACT: u32 = 0;
override HAS_BIAS: bool = false;
override HAS_ADDEND: bool = false;
override HAS_RESIDUAL: bool = false;

struct Params {
  batch: u32,         // N
  inHeight: u32,      // H
  inWidth: u32,       // W
  inChannels: u32,    // C
  kernelHeight: u32,  // KH
  kernelWidth: u32,   // KW
  outHeight: u32,     // OH
  outWidth: u32,      // OW
  outChannels: u32,   // O
  stride: u32,
  padTop: u32,
  padLeft: u32,
  tilesPerLine: u32,  // ⌈OW / ROWS⌉
  addendStride: u32,  // O, or 0 when one row serves all pictures
  gridY: u32,
}

@group(0) @binding(0) var<storage, read> x: array<elem>;          // [N, H, W, C]
@group(0) @binding(1) var<storage, read> weight: array<wscalar>;  // [KH, KW, C, O]
@group(0) @binding(2) var<storage, read> bias: array<f32>;        // [O]
@group(0) @binding(3) var<storage, read> addend: array<elem>;     // [1 or N, O]
@group(0) @binding(4) var<storage, read> residual: array<elem>;   // [N, OH, OW, O]
@group(0) @binding(5) var<storage, read_write> y: array<elem>;    // [N, OH, OW, O]
@group(1) @binding(0) var<uniform> p: Params;

fn finish(pixel: u32, n: u32, col: u32, s: vec4f) {
  let count = min(4u, p.outChannels - col);
  for (var j = 0u; j < count; j++) {
    let i = pixel * p.outChannels + col + j;
    var v = s[j];
    if (HAS_BIAS) { v += bias[col + j]; }
    if (HAS_ADDEND) { v += f32(addend[n * p.addendStride + col + j]); }
    v = activate(v);
    if (HAS_RESIDUAL) { v += f32(residual[i]); }
    y[i] = elem(v);
  }
}

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(local_invocation_index) lane: u32) {
  let tile = (wg.y + wg.z * p.gridY) * WG + lane;
  let line = tile / p.tilesPerLine; // of all N·OH output lines
  let n = line / p.outHeight;
  if (n >= p.batch) { return; }
  let oy = line - n * p.outHeight;
  let ox = (tile - line * p.tilesPerLine) * ROWS;

  let channels = p.outChannels;
  let col = wg.x * 4u;
  let c1 = min(col + 1u, channels - 1u) - col;
  let c2 = min(col + 2u, channels - 1u) - col;
  let c3 = min(col + 3u, channels - 1u) - col;
  let last = i32(p.inWidth) - 1;
  let st = i32(p.stride);
  var s0: vec4f;
  var s1: vec4f;
  var s2: vec4f;
  var s3: vec4f;
  for (var ky = 0u; ky < p.kernelHeight; ky++) {
    let iy = i32(oy * p.stride + ky) - i32(p.padTop);
    if (iy < 0 || iy >= i32(p.inHeight)) { continue; }
    let start = (n * p.inHeight + u32(iy)) * p.inWidth;
    for (var kx = 0u; kx < p.kernelWidth; kx++) {
      let i0 = i32(ox * p.stride + kx) - i32(p.padLeft);
      let i1 = i0 + st;
      let i2 = i1 + st;
      let i3 = i2 + st;
      let x0 = (start + u32(clamp(i0, 0, last))) * p.inChannels;
      let x1 = (start + u32(clamp(i1, 0, last))) * p.inChannels;
      let x2 = (start + u32(clamp(i2, 0, last))) * p.inChannels;
      let x3 = (start + u32(clamp(i3, 0, last))) * p.inChannels;
      let v0 = i0 >= 0 && i0 <= last;
      let v1 = i1 >= 0 && i1 <= last;
      let v2 = i2 >= 0 && i2 <= last;
      let v3 = i3 >= 0 && i3 <= last;
      var o = (ky * p.kernelWidth + kx) * p.inChannels * channels + col;
      for (var c = 0u; c < p.inChannels; c++) {
        let w = vec4f(load_weight_at(o), load_weight_at(o + c1), load_weight_at(o + c2), load_weight_at(o + c3));
        o += channels;
        s0 = fma(vec4f(select(0.0, f32(x[x0 + c]), v0)), w, s0);
        if (ROWS > 1u) { s1 = fma(vec4f(select(0.0, f32(x[x1 + c]), v1)), w, s1); }
        if (ROWS > 2u) { s2 = fma(vec4f(select(0.0, f32(x[x2 + c]), v2)), w, s2); }
        if (ROWS > 3u) { s3 = fma(vec4f(select(0.0, f32(x[x3 + c]), v3)), w, s3); }
      }
    }
  }

  let pixel = line * p.outWidth + ox;
  let left = p.outWidth - ox;
  finish(pixel, n, col, s0);
  if (ROWS > 1u && left > 1u) { finish(pixel + 1u, n, col, s1); }
  if (ROWS > 2u && left > 2u) { finish(pixel + 2u, n, col, s2); }
  if (ROWS > 3u && left > 3u) { finish(pixel + 3u, n, col, s3); }
}
