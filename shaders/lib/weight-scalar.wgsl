// One weight as f32 by its element index, from native storage. Host declares: binding weight: array<wscalar>.
fn load_weight_at(i: u32) -> f32 {
  return f32(weight[i]);
}
