// What changes from one network evaluation to the next, as the host packs it (src/kernels/sampler-state.ts): all in 4-byte words.
struct Row {
  tRow: u32,           // row of the time-embedding table; first, since look-ups bind the state as their ids
  flags: u32,          // which latent is y and not x: QUERY_Y | SOURCE_Y | TARGET_Y
  cx: f32,             // F = cx·source + ce·ε
  ce: f32,
  ex: f32,             // ε = ex·query + em·output
  em: f32,
  guidance: f32,
  strength: f32,
  alphaBar: f32,       // ā
  oneMinusAlphaBar: f32, // rounded once: near ā = 1 the difference in f32 keeps 4 digits
  spare0: f32,
  spare1: f32,
}

struct State {
  row: Row,
  k: u32, // the next row of the schedule
}

const QUERY_Y: u32 = 1u;
const SOURCE_Y: u32 = 2u;
const TARGET_Y: u32 = 4u;
