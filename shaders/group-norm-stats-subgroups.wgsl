enable subgroups;
// Statistics of group normalisation over [N, P, C], as in group-norm-stats.wgsl: y[n, g] = (mean, 1/√(var + eps)) of the P·C/G elements of group g.
// One workgroup per (n, g), pixel by pixel over the group's channels. f32: Welford per lane on x − x₀; a subgroup merges its lanes by exchange, then one lane
// merges the subgroups: one barrier. The subgroup size is read: 4 to 128 occur, all powers of two that divide WG, so every subgroup is full. A
// subgroup's number is taken from the local index, which is right for linear one-dimensional workgroups only.
// Wu & He 2018, arXiv:1803.08494; Chan, Golub & LeVeque 1979 (merging).
//!use wide

alias stored = vec4<f32>;
alias wide = vec4<f32>;
const WIDTH: u32 = 4u;   // channels in one `wide`
const WG: u32 = 256u;

struct Params {
  pixels: u32,
  channels: u32,  // C in `wide`s
  groups: u32,
  eps: f32,
}

@group(0) @binding(0) var<storage, read> x: array<stored>;    // [N, P, C]
@group(0) @binding(1) var<storage, read_write> y: array<f32>; // [N, G, 2]
@group(1) @binding(0) var<uniform> p: Params;

/** Elements seen, their mean and their summed squared distance from it. */
struct Moments {
  count: f32,
  mean: f32,
  m2: f32,
}

fn merge(a: Moments, b: Moments) -> Moments {
  let count = a.count + b.count;
  let share = b.count / max(count, 1.0);
  let delta = b.mean - a.mean;
  return Moments(count, a.mean + delta * share, a.m2 + b.m2 + delta * delta * a.count * share);
}

var<workgroup> subgroups: array<Moments, WG / 4>;  // of the smallest subgroups

@compute @workgroup_size(WG)
fn main(
  @builtin(workgroup_id) wg: vec3u,
  @builtin(local_invocation_index) lane: u32,
  @builtin(subgroup_size) size: u32,
) {
  let width = p.channels / p.groups;  // the group's channels in `wide`s
  let base = wg.y * p.pixels * p.channels + wg.x * width;
  let shift = wide_sum(wide(x[base])) / f32(WIDTH);

  // Element e = pixel·width + c; stepping both by WG without a division.
  let pixel_step = WG / width;
  let c_step = WG % width;
  var pixel = lane / width;
  var c = lane % width;
  var count = 0.0;
  var mean = wide(0.0);
  var m2 = wide(0.0);
  while (pixel < p.pixels) {
    let d = wide(x[base + pixel * p.channels + c]) - shift;
    count += 1.0;
    let delta = d - mean;
    mean += delta / count;
    m2 += delta * (d - mean);
    pixel += pixel_step;
    c += c_step;
    if (c >= width) {
      c -= width;
      pixel += 1u;
    }
  }

  // The components of a `wide` have seen equally many elements.
  let lane_mean = wide_sum(mean) / f32(WIDTH);
  let spread = mean - lane_mean;
  var merged = Moments(count * f32(WIDTH), lane_mean, wide_sum(m2) + count * wide_sum(spread * spread));
  for (var distance = 1u; distance < size; distance *= 2u) {
    let other = Moments(
      subgroupShuffleXor(merged.count, distance),
      subgroupShuffleXor(merged.mean, distance),
      subgroupShuffleXor(merged.m2, distance),
    );
    merged = merge(merged, other);
  }
  if (lane % size == 0u) {
    subgroups[lane / size] = merged;
  }
  workgroupBarrier();
  if (lane == 0u) {
    for (var j = 1u; j < WG / size; j++) {
      merged = merge(merged, subgroups[j]);
    }
    let i = 2u * (wg.y * p.groups + wg.x);
    y[i] = shift + merged.mean;
    y[i + 1u] = inverseSqrt(merged.m2 / merged.count + p.eps);
  }
}
