// The sampler's next row: state.row = schedule[k], then k + 1; past the end the last row stays. One thread. So the host writes nothing while sampling.
//!use sampler-state

override WG: u32 = 1;

@group(0) @binding(0) var<storage, read> schedule: array<Row>; // [rows]
@group(0) @binding(1) var<storage, read_write> state: State;

@compute @workgroup_size(WG)
fn main() {
  state.row = schedule[min(state.k, arrayLength(&schedule) - 1u)];
  state.k += 1u;
}
