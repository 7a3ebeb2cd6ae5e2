// Folds of four neighbouring channels. Host declares: alias wide (here vec4f).
fn wide_sum(v: wide) -> f32 {
  return (v.x + v.y) + (v.z + v.w);
}
fn wide_max(v: wide) -> f32 {
  return max(max(v.x, v.y), max(v.z, v.w));
}
fn wide_dot(a: wide, b: wide) -> f32 {
  return dot(a, b);
}
fn wide_of(a: array<f32, 4>) -> wide {
  return vec4f(a[0], a[1], a[2], a[3]);
}
