// Standard normal noise: element i is √(−2 ln u)·sin(2π·v) with u, v = (word + ½)/2^32 of the first two words of Philox4x32-10 at counter
// (offset, 0, i, 0), key (seedLow, seedHigh): what CUDA draws for small tensors, and webui's "NV". One thread per element. The words are exact; logarithm
// and sine come from the integers, so that u next to 1 and v next to a multiple of ½ keep their relative precision. Salmon et al. 2011; Box & Muller 1958.
//!use mul-high
//!use sincos

override WG: u32 = 64;

struct Params {
  count: u32,
  seedLow: u32,
  seedHigh: u32,
  offset: u32,
  gridX: u32, // workgroups along x
}

@group(0) @binding(0) var<storage, read_write> y: array<f32>; // [count]
@group(1) @binding(0) var<uniform> p: Params;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = (wg.x + wg.y * p.gridX) * WG + lane;
  if (i >= p.count) { return; }
  let words = philox(vec4u(p.offset, 0u, i, 0u), vec2u(p.seedLow, p.seedHigh));
  y[i] = sqrt(2.0 * minus_log(words.x)) * sincos_turns(words.y, 1).x;
}

fn philox(counter: vec4u, seed: vec2u) -> vec4u {
  var c = counter;
  var key = seed;
  for (var r = 0; r < 10; r++) {
    let even = 0xd2511f53u * c.x;
    let odd = 0xcd9e8d57u * c.z;
    c = vec4u(mul_high(0xcd9e8d57u, c.z) ^ c.y ^ key.x, odd, mul_high(0xd2511f53u, c.x) ^ c.w ^ key.y, even);
    key += vec2u(0x9e3779b9u, 0xbb67ae85u);
  }
  return c;
}

// −ln((word + ½)/2^32), with small relative error at both ends
fn minus_log(word: u32) -> f32 {
  if (word >= 0x80000000u) {
    let d = f32(2u * ~word + 1u) * 1.16415321826934814e-10; // 1 − u = odd/2^33: exact before it is an f32
    return 2.0 * atanh_series(d / (2.0 - d));
  }
  // u = m·2^e/2^33, 1 ≤ m < 2
  let bits = bitcast<u32>(f32(2u * word + 1u));
  let m = bitcast<f32>((bits & 0x7fffffu) | 0x3f800000u);
  let e = f32(i32(bits >> 23u) - 127 - 33);
  return -e * 0.6931471805599453 - 2.0 * atanh_series((m - 1.0) / (m + 1.0));
}

// atanh(z) for |z| ≤ 1/3: the first term left out is below 2e-10
fn atanh_series(z: f32) -> f32 {
  let s = z * z;
  return z + z * s * (1.0 / 3.0 + s * (1.0 / 5.0 + s * (1.0 / 7.0 + s * (1.0 / 9.0 + s * (1.0 / 11.0 +
    s * (1.0 / 13.0 + s * (1.0 / 15.0 + s * (1.0 / 17.0))))))));
}
