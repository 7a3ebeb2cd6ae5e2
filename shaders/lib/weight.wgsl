// Four weights as f32, from native storage. Host declares: alias wvec4.
fn load_weight(v: wvec4) -> vec4f {
  return vec4f(v);
}
