// Activation where channels come one at a time, by lib/activation.wgsl. Host declares: alias wide (rewritten to f32).
fn activate_wide(v: wide) -> wide {
  return activate(v);
}
