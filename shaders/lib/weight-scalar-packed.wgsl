// One weight as f32 by its element index, from f16 pairs packed in u32. Host declares: binding weight: array<wscalar>, rewritten to u32.
fn load_weight_at(i: u32) -> f32 {
  let pair = unpack2x16float(weight[i >> 1u]);
  return select(pair.x, pair.y, (i & 1u) == 1u);
}
