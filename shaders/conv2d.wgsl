// y = act(conv(x, W) + bias + addend) + residual over NHWC maps, zero outside. C and O are multiples of 4.
// Implicit GEMM: a thread owns ROWS neighbouring pixels of one output line × 4 channels in registers; lanes lie along O, so that a subgroup reads one address
// of x and a contiguous run of W. Taps are the outer loop: one address and one validity per tap and pixel, no division and no branch per load.
// A tap whose line lies outside is skipped; one whose column does reads a neighbour and selects 0, never multiplies by it. Accumulates in f32.

//!use activation
//!use weight

alias elem = f32;
alias elem4 = vec4<elem>;
alias wvec4 = vec4<f32>;

override WX: u32 = 16;   // lanes along O
override WY: u32 = 4;    // lanes along tiles of pixels
override ROWS: u32 = 8;  // 1 to 8
override ACT: u32 = 0;
override HAS_BIAS: bool = false;
override HAS_ADDEND: bool = false;
override HAS_RESIDUAL: bool = false;

struct Params {
  batch: u32,         // N
  inHeight: u32,      // H
  inWidth: u32,       // W
  inChannels4: u32,   // C / 4
  kernelHeight: u32,  // KH
  kernelWidth: u32,   // KW
  outHeight: u32,     // OH
  outWidth: u32,      // OW
  outChannels4: u32,  // O / 4
  stride: u32,
  padTop: u32,
  padLeft: u32,
  tilesPerLine: u32,  // ⌈OW / ROWS⌉
  addendStride: u32,  // O / 4, or 0 when one row serves all pictures
  gridY: u32,
}

@group(0) @binding(0) var<storage, read> x: array<elem4>;         // [N, H, W, C/4]
@group(0) @binding(1) var<storage, read> weight: array<wvec4>;    // [KH, KW, C, O/4]
@group(0) @binding(2) var<storage, read> bias: array<vec4f>;      // [O/4]
@group(0) @binding(3) var<storage, read> addend: array<elem4>;    // [1 or N, O/4]
@group(0) @binding(4) var<storage, read> residual: array<elem4>;  // [N, OH, OW, O/4]
@group(0) @binding(5) var<storage, read_write> y: array<elem4>;   // [N, OH, OW, O/4]
@group(1) @binding(0) var<uniform> p: Params;

// The chain starts at the accumulator: lavapipe spills registers when four products are summed first.
fn accumulate(s: vec4f, a: vec4f, w0: vec4f, w1: vec4f, w2: vec4f, w3: vec4f) -> vec4f {
  return fma(vec4f(a.w), w3, fma(vec4f(a.z), w2, fma(vec4f(a.y), w1, fma(vec4f(a.x), w0, s))));
}

fn finish(i: u32, before: vec4f, s: vec4f) {
  var v = activate4(s + before);
  if (HAS_RESIDUAL) { v += vec4f(residual[i]); }
  y[i] = elem4(v);
}

@compute @workgroup_size(WX, WY)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(local_invocation_id) lid: vec3u) {
  let tile = (wg.y + wg.z * p.gridY) * WY + select(lid.y, 0u, WY == 1u);
  let line = tile / p.tilesPerLine; // of all N·OH output lines
  let n = line / p.outHeight;
  if (n >= p.batch) { return; }
  let oy = line - n * p.outHeight;
  let ox = (tile - line * p.tilesPerLine) * ROWS;
  let col = wg.x * WX + lid.x;
  let w_col = min(col, p.outChannels4 - 1u);

  let c4 = p.inChannels4;
  let o4 = p.outChannels4;
  let last = i32(p.inWidth) - 1;
  let st = i32(p.stride);
  // Constant indices below: SwiftShader keeps an array with a loop's index in memory, at half the speed.
  var s: array<vec4f, 8>;
  for (var ky = 0u; ky < p.kernelHeight; ky++) {
    let iy = i32(oy * p.stride + ky) - i32(p.padTop);
    if (iy < 0 || iy >= i32(p.inHeight)) { continue; }
    let start = (n * p.inHeight + u32(iy)) * p.inWidth;
    for (var kx = 0u; kx < p.kernelWidth; kx++) {
      let i0 = i32(ox * p.stride + kx) - i32(p.padLeft);
      let i1 = i0 + st;
      let i2 = i1 + st;
      let i3 = i2 + st;
      let i4 = i3 + st;
      let i5 = i4 + st;
      let i6 = i5 + st;
      let i7 = i6 + st;
      let x0 = (start + u32(clamp(i0, 0, last))) * c4;
      let x1 = (start + u32(clamp(i1, 0, last))) * c4;
      let x2 = (start + u32(clamp(i2, 0, last))) * c4;
      let x3 = (start + u32(clamp(i3, 0, last))) * c4;
      let x4 = (start + u32(clamp(i4, 0, last))) * c4;
      let x5 = (start + u32(clamp(i5, 0, last))) * c4;
      let x6 = (start + u32(clamp(i6, 0, last))) * c4;
      let x7 = (start + u32(clamp(i7, 0, last))) * c4;
      let v0 = i0 >= 0 && i0 <= last;
      let v1 = i1 >= 0 && i1 <= last;
      let v2 = i2 >= 0 && i2 <= last;
      let v3 = i3 >= 0 && i3 <= last;
      let v4 = i4 >= 0 && i4 <= last;
      let v5 = i5 >= 0 && i5 <= last;
      let v6 = i6 >= 0 && i6 <= last;
      let v7 = i7 >= 0 && i7 <= last;
      var o = (ky * p.kernelWidth + kx) * 4u * c4 * o4 + w_col;
      for (var k = 0u; k < c4; k++) {
        let w0 = load_weight(weight[o]);
        let w1 = load_weight(weight[o + o4]);
        let w2 = load_weight(weight[o + 2u * o4]);
        let w3 = load_weight(weight[o + 3u * o4]);
        o += 4u * o4;
        s[0] = accumulate(s[0], select(vec4f(), vec4f(x[x0 + k]), v0), w0, w1, w2, w3);
        if (ROWS > 1u) { s[1] = accumulate(s[1], select(vec4f(), vec4f(x[x1 + k]), v1), w0, w1, w2, w3); }
        if (ROWS > 2u) { s[2] = accumulate(s[2], select(vec4f(), vec4f(x[x2 + k]), v2), w0, w1, w2, w3); }
        if (ROWS > 3u) { s[3] = accumulate(s[3], select(vec4f(), vec4f(x[x3 + k]), v3), w0, w1, w2, w3); }
        if (ROWS > 4u) { s[4] = accumulate(s[4], select(vec4f(), vec4f(x[x4 + k]), v4), w0, w1, w2, w3); }
        if (ROWS > 5u) { s[5] = accumulate(s[5], select(vec4f(), vec4f(x[x5 + k]), v5), w0, w1, w2, w3); }
        if (ROWS > 6u) { s[6] = accumulate(s[6], select(vec4f(), vec4f(x[x6 + k]), v6), w0, w1, w2, w3); }
        if (ROWS > 7u) { s[7] = accumulate(s[7], select(vec4f(), vec4f(x[x7 + k]), v7), w0, w1, w2, w3); }
      }
    }
  }

  if (col >= o4) { return; }
  var before = vec4f();
  if (HAS_BIAS) { before += bias[col]; }
  if (HAS_ADDEND) { before += vec4f(addend[n * p.addendStride + col]); }
  let i = (line * p.outWidth + ox) * o4 + col;
  let left = p.outWidth - ox;
  finish(i, before, s[0]);
  if (ROWS > 1u && left > 1u) { finish(i + o4, before, s[1]); }
  if (ROWS > 2u && left > 2u) { finish(i + 2u * o4, before, s[2]); }
  if (ROWS > 3u && left > 3u) { finish(i + 3u * o4, before, s[3]); }
  if (ROWS > 4u && left > 4u) { finish(i + 4u * o4, before, s[4]); }
  if (ROWS > 5u && left > 5u) { finish(i + 5u * o4, before, s[5]); }
  if (ROWS > 6u && left > 6u) { finish(i + 6u * o4, before, s[6]); }
  if (ROWS > 7u && left > 7u) { finish(i + 7u * o4, before, s[7]); }
}
