import type { BufferRange } from "../gpu/buffers.ts";
import type { Program } from "../gpu/program.ts";

/** A network under one condition, recorded: predicted noise (or v) for the latent and the timestep that the state names.
 *
 *  Weights, prompt and guidance branches are bound in; every kind of weak-to-strong pair is a way of making two of these. */
export interface Denoiser {
  /** One evaluation. Reads the latents it was bound to and the state; writes `output`. */
  readonly programs: readonly Program[];
  /** [branches, count]: the unconditional prediction first when there are two. */
  readonly output: BufferRange;
  readonly dtype: "f32" | "f16";
  readonly branches: 1 | 2;
}
