// Pointwise nonlinearities in f32, chosen by an override so that the choice costs nothing. Host declares: override ACT.
// Neither erf nor a tanh of known accuracy is in WGSL. NaN stays NaN; any finite input gives a finite output.

// erfc(a) for a ≥ 0 as t·P(t)·exp(−a²), t = 1/(1 + 0.36·a): own minimax fit of erfc(a)·exp(a²), relative error of the fit ≤ 1.4e-7 for a ≤ 5.
// By erfc and not by erf, so that the negative tail of gelu has no cancellation.
fn act_erfc(a: f32) -> f32 {
  let t = 1.0 / (1.0 + 0.36 * a);
  let poly = t * (0.20161916 + t * (0.22240652 + t * (0.08468114 + t * (0.47530866 +
    t * (-0.4073719 + t * (0.5939685 + t * -0.17061200))))));
  return poly * exp(-a * a);
}

// x·Φ(x) = x − x·Φ(−x)
fn act_gelu(x: f32) -> f32 {
  let tail = 0.5 * x * act_erfc(abs(x) * 0.7071067811865476);
  return select(tail, x - tail, x > 0.0);
}

// The clamp keeps exp finite: 1 + exp(87) is the last one whose reciprocal is a normal number.
fn act_sigmoid(x: f32) -> f32 {
  return 1.0 / (1.0 + exp(min(-x, 87.0)));
}

// tanh with small relative error: WGSL's own may be off by 2^-11. Taylor up to z⁹ below 1/4, where the quotient cancels.
fn act_tanh(z: f32) -> f32 {
  let s = z * z;
  let near = z * (1.0 + s * (-1.0 / 3.0 + s * (2.0 / 15.0 + s * (-17.0 / 315.0 + s * (62.0 / 2835.0)))));
  let e = exp(-2.0 * abs(z));
  return select(near, sign(z) * (1.0 - e) / (1.0 + e), abs(z) > 0.25);
}

fn activate(x: f32) -> f32 {
  switch ACT {
    case 1u { return x * act_sigmoid(x); }             // SiLU
    case 2u { return act_gelu(x); }                    // GELU, by erf
    case 3u { return x * act_sigmoid(1.702 * x); }     // quick-GELU
    case 4u { return select(x, 0.0, x < 0.0); }        // ReLU
    case 5u { return 3.0 * act_tanh(x * (1.0 / 3.0)); } // AutoencoderTiny's soft clip
    default { return x; }
  }
}

fn activate4(v: vec4f) -> vec4f {
  return vec4f(activate(v.x), activate(v.y), activate(v.z), activate(v.w));
}
