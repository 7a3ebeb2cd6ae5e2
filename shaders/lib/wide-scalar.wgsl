// The folds of lib/wide.wgsl where channels come one at a time. Host declares: alias wide (rewritten to f32).
fn wide_sum(v: wide) -> f32 {
  return v;
}
fn wide_max(v: wide) -> f32 {
  return v;
}
fn wide_dot(a: wide, b: wide) -> f32 {
  return a * b;
}
fn wide_of(a: array<f32, 4>) -> wide {
  return a[0];
}
