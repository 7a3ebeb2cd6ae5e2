enable subgroups;
// Layer normalisation of the rows of x [R, D], as in layer-norm.wgsl: y = (x − mean)·weight/√(var + eps) + bias.
// One subgroup per row, its lanes on neighbouring channels; workgroups stride over the rows. The subgroup size is read: 4 to 128 occur. WG and sizes are
// powers of two, so the subgroups are all full, or one partial subgroup is the whole workgroup. Number and lane of a subgroup are taken from the
// local index, which is right for linear one-dimensional workgroups only. f32, two passes over x − x₀, no barrier and no shared memory.
// Ba, Kiros & Hinton 2016, arXiv:1607.06450.
//!use wide

alias stored = vec4<f32>;
alias wide = vec4<f32>;
const WIDTH: u32 = 4u;    // channels in one `wide`
override WG: u32 = 64;    // a power of two

struct Params {
  rows: u32,
  channels: u32,  // D in `wide`s
  eps: f32,
}

@group(0) @binding(0) var<storage, read> x: array<stored>;       // [R, D]
@group(0) @binding(1) var<storage, read> weight: array<wide>;    // [D]
@group(0) @binding(2) var<storage, read> bias: array<wide>;      // [D]
@group(0) @binding(3) var<storage, read_write> y: array<stored>; // [R, D]
@group(1) @binding(0) var<uniform> p: Params;

@compute @workgroup_size(WG)
fn main(
  @builtin(workgroup_id) wg: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) index: u32,
  @builtin(subgroup_size) size: u32,
) {
  let lanes = min(size, WG);
  let teams = WG / lanes;
  let count = f32(p.channels * WIDTH);

  // The bound is the same for the whole workgroup: subgroup operations must be reached by all.
  for (var base = (wg.x + wg.y * grid.x) * teams; base < p.rows; base += grid.x * grid.y * teams) {
    let row = base + index / lanes;
    let start = min(row, p.rows - 1u) * p.channels;
    let end = start + p.channels;
    let first = start + index % lanes;

    let shift = wide_sum(wide(x[start])) / f32(WIDTH);
    var sum = wide(0.0);
    for (var i = first; i < end; i += lanes) {
      sum += wide(x[i]) - shift;
    }
    let mean = subgroupAdd(wide_sum(sum)) / count;  // of x − shift

    var square = wide(0.0);
    for (var i = first; i < end; i += lanes) {
      let d = (wide(x[i]) - shift) - mean;
      square += d * d;
    }
    let rstd = inverseSqrt(subgroupAdd(wide_sum(square)) / count + p.eps);

    if (row < p.rows) {
      for (var i = first; i < end; i += lanes) {
        let d = (wide(x[i]) - shift) - mean;
        y[i] = stored(d * rstd * weight[i - start] + bias[i - start]);
      }
    }
  }
}
