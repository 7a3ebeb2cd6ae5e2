// Pointwise nonlinearities in f32, chosen by an override so that the choice costs nothing. Host declares: override ACT.

// erf, |error| ≤ 1.5e-7 (Abramowitz & Stegun 1964, 7.1.26)
fn act_erf(x: f32) -> f32 {
  let a = abs(x);
  let t = 1.0 / (1.0 + 0.3275911 * a);
  let poly = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))));
  return sign(x) * (1.0 - poly * exp(-a * a));
}

fn act_gelu(x: f32) -> f32 {
  return 0.5 * x * (1.0 + act_erf(x * 0.7071067811865476));
}

fn activate(x: f32) -> f32 {
  switch ACT {
    case 1u { return x / (1.0 + exp(-x)); }                   // SiLU
    case 2u { return act_gelu(x); }                           // GELU, by erf
    case 3u { return x / (1.0 + exp(-1.702 * x)); }           // quick-GELU
    case 4u { return max(x, 0.0); }                           // ReLU
    case 5u { return 3.0 * tanh(clamp(x / 3.0, -9.0, 9.0)); } // AutoencoderTiny's soft clip; some tanh overflow past ±44
    default { return x; }
  }
}

fn activate4(v: vec4f) -> vec4f {
  return vec4f(activate(v.x), activate(v.y), activate(v.z), activate(v.w));
}
