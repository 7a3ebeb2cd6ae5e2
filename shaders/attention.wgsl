// Attention, fused: y[t, h] = Σ_j softmax_j(scale·q[t, h]·k[j, h]) v[j, h]; the scores never leave the registers.
// One thread holds QUERIES queries of one head, WG apart. All lanes read the same key, so its load is one broadcast, used QUERIES times; there is
// neither workgroup memory nor a barrier. Keys come in blocks of KEYS, so that the running maximum is compared and the output rescaled once a block.
// f32; logits in base 2 (q is scaled by log₂e), the online softmax of Milakov & Gimelshein 2018, arXiv:1805.02867; Dao et al. 2022, arXiv:2205.14135.
// Loops over the head's width end at Params.width, not at D: unrolled, their loads alone take lavapipe 20 s to compile.
//!use wide

alias stored = vec4<f32>;
alias wide = vec4<f32>;
const D: u32 = 10u;      // width of a head in `wide`s: the size of the private arrays
const QUERIES: u32 = 4u; // of one thread
const KEYS: u32 = 8u;    // of one block
override WG: u32 = 32;
override CAUSAL: bool = false;

struct Params {
  queries: u32,   // Tq
  keys: u32,      // Tk
  width: u32,     // D
  row: u32,       // H·D
  keyBatch: u32,  // `wide`s from one batch of k to the next; 0: all share one
  scale: f32,     // times log₂e
}

@group(0) @binding(0) var<storage, read> q: array<stored>;       // [B, Tq, H·D]
@group(0) @binding(1) var<storage, read> k: array<stored>;       // [Bk, Tk, H·D]
@group(0) @binding(2) var<storage, read> v: array<stored>;       // [Bk, Tk, H·D]
@group(0) @binding(3) var<storage, read_write> y: array<stored>; // [B, Tq, H·D]
@group(1) @binding(0) var<uniform> p: Params;

const LOWEST: f32 = -3.0e38; // stands for −∞: a difference of two is no NaN

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(local_invocation_index) lane: u32) {
  let t = wg.x * WG * QUERIES + lane;  // the thread's first query
  let q_start = wg.z * p.queries * p.row + wg.y * p.width;
  let k_start = wg.z * p.keyBatch + wg.y * p.width;

  // Element d of query i at d·QUERIES + i
  var query: array<wide, D * QUERIES>;
  var out: array<wide, D * QUERIES>;
  for (var e = 0u; e < p.width * QUERIES; e++) {
    let row = min(t + e % QUERIES * WG, p.queries - 1u);
    query[e] = wide(q[q_start + row * p.row + e / QUERIES]) * p.scale;
    out[e] = wide(0.0);
  }
  var top: array<f32, QUERIES>;    // largest logit so far
  var total: array<f32, QUERIES>;  // Σ exp2(logit − top)
  for (var i = 0u; i < QUERIES; i++) {
    top[i] = LOWEST;
    total[i] = 0.0;
  }

  // The same for the whole workgroup: a loop that lanes leave one by one costs the broadcast.
  var seen = p.keys;
  if (CAUSAL) { seen = min(seen, (wg.x + 1u) * WG * QUERIES); }
  for (var first = 0u; first < seen; first += KEYS) {
    var at: array<u32, KEYS>;
    var logits: array<f32, KEYS * QUERIES>;
    for (var j = 0u; j < KEYS; j++) {
      at[j] = k_start + min(first + j, p.keys - 1u) * p.row;
      for (var i = 0u; i < QUERIES; i++) {
        logits[j * QUERIES + i] = 0.0;
      }
    }
    for (var d = 0u; d < p.width; d++) {
      var part: array<wide, QUERIES>;
      for (var i = 0u; i < QUERIES; i++) {
        part[i] = query[d * QUERIES + i];
      }
      for (var j = 0u; j < KEYS; j++) {
        let key = wide(k[at[j] + d]);
        for (var i = 0u; i < QUERIES; i++) {
          logits[j * QUERIES + i] += wide_dot(part[i], key);
        }
      }
    }

    var rescale: array<f32, QUERIES>;
    for (var i = 0u; i < QUERIES; i++) {
      var block_top = top[i];
      for (var j = 0u; j < KEYS; j++) {
        let masked = first + j >= p.keys || (CAUSAL && first + j > t + i * WG);
        logits[j * QUERIES + i] = select(logits[j * QUERIES + i], LOWEST, masked);
        block_top = max(block_top, logits[j * QUERIES + i]);
      }
      rescale[i] = exp2(top[i] - block_top);
      top[i] = block_top;
      total[i] *= rescale[i];
      for (var j = 0u; j < KEYS; j++) {
        logits[j * QUERIES + i] = exp2(logits[j * QUERIES + i] - block_top);
        total[i] += logits[j * QUERIES + i];
      }
    }

    for (var d = 0u; d < p.width; d++) {
      var sum: array<wide, QUERIES>;
      for (var i = 0u; i < QUERIES; i++) {
        sum[i] = out[d * QUERIES + i] * rescale[i];
      }
      for (var j = 0u; j < KEYS; j++) {
        let value = wide(v[at[j] + d]);
        for (var i = 0u; i < QUERIES; i++) {
          sum[i] += logits[j * QUERIES + i] * value;
        }
      }
      for (var i = 0u; i < QUERIES; i++) {
        out[d * QUERIES + i] = sum[i];
      }
    }
  }

  for (var e = 0u; e < p.width * QUERIES; e++) {
    let row = t + e % QUERIES * WG;
    if (row < p.queries) {
      y[q_start + row * p.row + e / QUERIES] = stored(out[e] / total[e % QUERIES]);
    }
  }
}
