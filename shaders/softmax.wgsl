// Softmax over the rows of x [R, D]: y = exp(scale·x − max) / Σ exp(scale·x − max).
// LANES threads share a row, neighbours on neighbouring elements, WG/LANES rows to a workgroup. f32, logits in base 2 (scaled by log₂e); the
// exponentials are taken twice rather than stored, since y may be f16.
//!use wide

alias stored = vec4<f32>;
alias wide = vec4<f32>;
override WG: u32 = 64;
override LANES: u32 = 8;  // divides WG

struct Params {
  rows: u32,
  width: u32,  // D in `wide`s
  scale: f32,  // times log₂e
  gridX: u32,  // workgroups along x
}

@group(0) @binding(0) var<storage, read> x: array<stored>;       // [R, D]
@group(0) @binding(1) var<storage, read_write> y: array<stored>; // [R, D]
@group(1) @binding(0) var<uniform> p: Params;

var<workgroup> tops: array<f32, WG>;
var<workgroup> sums: array<f32, WG>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(local_invocation_index) lane: u32) {
  let row = (wg.x + wg.y * p.gridX) * (WG / LANES) + lane / LANES;
  let team = lane - lane % LANES;  // first lane of this row
  let start = min(row, p.rows - 1u) * p.width;
  let end = start + p.width;
  let first = start + lane % LANES;

  var top = wide_max(wide(x[start]) * p.scale);  // not −∞: a lane may have no element of its own
  for (var i = first; i < end; i += LANES) {
    top = max(top, wide_max(wide(x[i]) * p.scale));
  }
  tops[lane] = top;
  workgroupBarrier();
  for (var j = 0u; j < LANES; j++) {
    top = max(top, tops[team + j]);
  }

  var sum = wide(0.0);
  for (var i = first; i < end; i += LANES) {
    sum += exp2(wide(x[i]) * p.scale - top);
  }
  sums[lane] = wide_sum(sum);
  workgroupBarrier();
  var total = 0.0;
  for (var j = 0u; j < LANES; j++) {
    total += sums[team + j];
  }

  if (row < p.rows) {
    for (var i = first; i < end; i += LANES) {
      y[i] = stored(exp2(wide(x[i]) * p.scale - top) / total);
    }
  }
}
