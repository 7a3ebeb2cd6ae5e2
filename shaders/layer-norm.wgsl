// Layer normalisation of the rows of x [R, D]: y = (x − mean)·weight/√(var + eps) + bias.
// LANES threads share a row, neighbours on neighbouring channels, WG/LANES rows to a workgroup. f32, two passes over x − x₀: the sum of squares loses
// log₁₀(mean²/var) digits of seven, and the second reading comes from cache.
// Ba, Kiros & Hinton 2016, arXiv:1607.06450.
//!use wide

alias stored = vec4<f32>;
alias wide = vec4<f32>;
const WIDTH: u32 = 4u;    // channels in one `wide`
override WG: u32 = 64;
override LANES: u32 = 8;  // divides WG

struct Params {
  rows: u32,
  channels: u32,  // D in `wide`s
  eps: f32,
  gridX: u32,     // workgroups along x
}

@group(0) @binding(0) var<storage, read> x: array<stored>;       // [R, D]
@group(0) @binding(1) var<storage, read> weight: array<wide>;    // [D]
@group(0) @binding(2) var<storage, read> bias: array<wide>;      // [D]
@group(0) @binding(3) var<storage, read_write> y: array<stored>; // [R, D]
@group(1) @binding(0) var<uniform> p: Params;

var<workgroup> sums: array<f32, WG>;
var<workgroup> squares: array<f32, WG>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(local_invocation_index) lane: u32) {
  let row = (wg.x + wg.y * p.gridX) * (WG / LANES) + lane / LANES;
  let team = lane - lane % LANES;  // first lane of this row
  let start = min(row, p.rows - 1u) * p.channels;
  let end = start + p.channels;
  let first = start + lane % LANES;
  let count = f32(p.channels * WIDTH);

  let shift = wide_sum(wide(x[start])) / f32(WIDTH);
  var sum = wide(0.0);
  for (var i = first; i < end; i += LANES) {
    sum += wide(x[i]) - shift;
  }
  sums[lane] = wide_sum(sum);
  workgroupBarrier();
  var mean = 0.0;  // of x − shift
  for (var j = 0u; j < LANES; j++) {
    mean += sums[team + j];
  }
  mean /= count;

  var square = wide(0.0);
  for (var i = first; i < end; i += LANES) {
    let d = (wide(x[i]) - shift) - mean;
    square += d * d;
  }
  squares[lane] = wide_sum(square);
  workgroupBarrier();
  var variance = 0.0;
  for (var j = 0u; j < LANES; j++) {
    variance += squares[team + j];
  }
  let rstd = inverseSqrt(variance / count + p.eps);

  if (row < p.rows) {
    for (var i = first; i < end; i += LANES) {
      let d = (wide(x[i]) - shift) - mean;
      y[i] = stored(d * rstd * weight[i - start] + bias[i - start]);
    }
  }
}
