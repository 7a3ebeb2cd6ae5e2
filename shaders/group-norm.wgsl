// Group normalisation over [N, P, C], P the pixels: y = act((x − mean)·rstd·weight + bias), statistics from group-norm-stats.
// A thread keeps one `wide` of channels over PIXELS pixels: weight, bias and statistics are read once for all of them; neighbouring lanes take
// neighbouring channels. f32; x − mean first, since x·scale + shift loses digits when the mean is far from zero.
// Wu & He 2018, arXiv:1803.08494.
//!use activation
//!use activation-wide
//!use wide

alias stored = vec4<f32>;
alias wide = vec4<f32>;
const WIDTH: u32 = 4u;   // channels in one `wide`
const PIXELS: u32 = 16u; // pixels of a thread
override WG: u32 = 64;
override ACT: u32 = 0;

struct Params {
  pixels: u32,
  channels: u32,   // C in `wide`s
  groupWidth: u32, // C/G, in channels
  groups: u32,
  threads: u32,    // in use: N·⌈P/PIXELS⌉·channels
  gridX: u32,      // workgroups along x
}

@group(0) @binding(0) var<storage, read> x: array<stored>;       // [N, P, C]
@group(0) @binding(1) var<storage, read> stats: array<vec2<f32>>;  // [N, G]: mean, 1/√(var + eps)
@group(0) @binding(2) var<storage, read> weight: array<wide>;    // [C]
@group(0) @binding(3) var<storage, read> bias: array<wide>;      // [C]
@group(0) @binding(4) var<storage, read_write> y: array<stored>; // [N, P, C]
@group(1) @binding(0) var<uniform> p: Params;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(local_invocation_index) lane: u32) {
  let thread = (wg.x + wg.y * p.gridX) * WG + lane;
  if (thread >= p.threads) { return; }
  let strips = (p.pixels + PIXELS - 1u) / PIXELS;
  let c = thread % p.channels;
  let strip = thread / p.channels;
  let n = strip / strips;
  let first = (strip % strips) * PIXELS;

  // A group of 10 or 30 channels begins in the middle of a `wide`.
  var mean: array<f32, 4>;
  var rstd: array<f32, 4>;
  for (var j = 0u; j < WIDTH; j++) {
    let s = stats[n * p.groups + (c * WIDTH + j) / p.groupWidth];
    mean[j] = s.x;
    rstd[j] = s.y;
  }
  let shift = wide_of(mean);
  let scale = wide_of(rstd) * weight[c];
  let offset = bias[c];

  var i = (n * p.pixels + first) * p.channels + c;
  for (var k = 0u; k < min(PIXELS, p.pixels - first); k++) {
    y[i] = stored(activate_wide((wide(x[i]) - shift) * scale + offset));
    i += p.channels;
  }
}
