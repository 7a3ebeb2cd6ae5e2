// What follows a network evaluation, per element of the latents x and y, by the row in force:
//   o = o_u + guidance·(o_c − o_u),  ε = ex·query + em·o,  F = cx·source + ce·ε,  target = x + strength·(F − x)
// in f32, one thread per element. Song et al. 2020, arXiv:2010.02502 eq. 12; Ho & Salimans 2022, arXiv:2207.12598.
//!use sampler-state

alias elem = f32;
override WG: u32 = 64;

struct Params {
  count: u32,    // elements of x and y
  branches: u32, // 2: unconditional, then conditional; 1: no guidance
  gridX: u32,    // workgroups along x
}

@group(0) @binding(0) var<storage, read> state: State;
@group(0) @binding(1) var<storage, read> output: array<elem>;  // [branches, count], the network's
@group(0) @binding(2) var<storage, read_write> x: array<f32>;  // [count]
@group(0) @binding(3) var<storage, read_write> y: array<f32>;  // [count]
@group(1) @binding(0) var<uniform> p: Params;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = (wg.x + wg.y * p.gridX) * WG + lane;
  if (i >= p.count) { return; }
  let row = state.row;
  let xi = x[i];
  let yi = y[i];
  var o = f32(output[i]);
  if (p.branches == 2u) { o += row.guidance * (f32(output[p.count + i]) - o); }
  let eps = row.ex * select(xi, yi, (row.flags & QUERY_Y) != 0u) + row.em * o;
  let stepped = row.cx * select(xi, yi, (row.flags & SOURCE_Y) != 0u) + row.ce * eps;
  // Strength 1 is exactly the step, without the rounding of x + (F − x).
  let r = select(xi + row.strength * (stepped - xi), stepped, row.strength == 1.0);
  if ((row.flags & TARGET_Y) != 0u) { y[i] = r; } else { x[i] = r; }
}
