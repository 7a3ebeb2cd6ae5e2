// (sin, cos) to about 2e-7. WGSL's own are good to 2^-11, and only within ±π. The reduction is in integers: compensated f32 reductions
// (Cody & Waite) break where a compiler reassociates or fuses. Host says: //!use mul-high.

// (sin, cos) of q quarter turns and r more, |r| ≤ π/4: Taylor, the first term left out is below 2e-9
fn sincos_quarter(q: u32, r: f32) -> vec2f {
  let s = r * r;
  let sine = r + r * s * (-1.0 / 6.0 + s * (1.0 / 120.0 + s * (-1.0 / 5040.0 + s * (1.0 / 362880.0))));
  let cosine = 1.0 + s * (-0.5 + s * (1.0 / 24.0 + s * (-1.0 / 720.0 + s * (1.0 / 40320.0 - s * (1.0 / 3628800.0)))));
  let turned = select(vec2f(sine, cosine), vec2f(cosine, -sine), (q & 1u) == 1u);
  return select(turned, -turned, (q & 2u) == 2u);
}

// (sin, cos) of 2π·(2·turns + half)/2^33, half 0 or 1
fn sincos_turns(turns: u32, half: i32) -> vec2f {
  let q = (turns + 0x20000000u) >> 30u;
  let rest = 2 * bitcast<i32>(turns - (q << 30u)) + half;
  return sincos_quarter(q, f32(rest) * 7.314590396335798e-10); // 2π/2^33
}

// (sin, cos) of x for |x| < 2^23: the fraction of x/2π, from the mantissa and 64 bits of 1/2π shifted by the exponent
fn sincos(x: f32) -> vec2f {
  let a = abs(x);
  var sc = sincos_quarter(0u, a);
  if (a > 0.75) {
    let bits = bitcast<u32>(a);
    let mantissa = (bits & 0x7fffffu) | 0x800000u;
    let shift = 150u - (bits >> 23u); // a = mantissa·2^-shift, 1 ≤ shift ≤ 24
    let high = 0x28be60dbu >> shift;
    let low = (0x28be60dbu << (32u - shift)) | (0x9391054au >> shift);
    sc = sincos_turns(mantissa * high + mul_high(mantissa, low), 0);
  }
  return vec2f(select(sc.x, -sc.x, x < 0.0), sc.y);
}
