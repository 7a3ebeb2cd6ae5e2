// Four weights as f32, from f16 pairs packed in u32: f16 weights on adapters without shader-f16, or under f32 activations.
// Host declares: alias wvec4 (rewritten to vec2<u32>).
fn load_weight(v: wvec4) -> vec4f {
  return vec4f(unpack2x16float(v.x), unpack2x16float(v.y));
}
