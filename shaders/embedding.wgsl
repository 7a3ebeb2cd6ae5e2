// Rows of a table by number: y[t] = table[ids[t]]. Ids from `rows` on continue in tableHigh; an id beyond both gives zeros, and nothing is read for it.
// One thread per element of y. Tables are read as words, so that an f16 table needs no shader-f16 and any width works: at most a few rows are
// looked up per evaluation.

alias elem = f32;
override WG: u32 = 64;
override TABLE_F16: bool = false;
override HAS_HIGH: bool = false;

struct Params {
  count: u32,    // elements of y
  width: u32,    // D
  rows: u32,     // V
  highRows: u32, // V2, 0 without tableHigh
  gridX: u32,    // workgroups along x
}

@group(0) @binding(0) var<storage, read> ids: array<u32>;       // [≥ T]
@group(0) @binding(1) var<storage, read> table: array<u32>;     // [V, D], two f16 to a word or one f32
@group(0) @binding(2) var<storage, read> tableHigh: array<u32>; // [V2, D], likewise
@group(0) @binding(3) var<storage, read_write> y: array<elem>;  // [T, D]
@group(1) @binding(0) var<uniform> p: Params;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = (wg.x + wg.y * p.gridX) * WG + lane;
  if (i >= p.count) { return; }
  let id = ids[i / p.width];
  let d = i % p.width;
  var value = 0.0;
  if (id < p.rows) {
    let at = id * p.width + d;
    value = decode(table[word_of(at)], at);
  } else if (HAS_HIGH && id - p.rows < p.highRows) {
    let at = (id - p.rows) * p.width + d;
    value = decode(tableHigh[word_of(at)], at);
  }
  y[i] = elem(value);
}

fn word_of(element: u32) -> u32 {
  return select(element, element / 2u, TABLE_F16);
}

fn decode(word: u32, element: u32) -> f32 {
  if (TABLE_F16) { return unpack2x16float(word)[element % 2u]; }
  return bitcast<f32>(word);
}
