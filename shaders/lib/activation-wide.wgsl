// Activation of four neighbouring channels, by lib/activation.wgsl. Host declares: alias wide (here vec4f).
fn activate_wide(v: wide) -> wide {
  return activate4(v);
}
