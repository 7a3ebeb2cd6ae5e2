import { ShapeError } from "../errors.ts";
import { ceilDiv, elementCount, sameShape, showSpec, type TensorSpec } from "../tensor.ts";
import { launch } from "./contract.ts";
import { attention as contract } from "./contracts.gen.ts";
import type { Kernel } from "./kernel.ts";
import { wideAccess } from "./wide.ts";

export interface AttentionInputs {
  readonly [name: string]: TensorSpec;
  readonly q: TensorSpec;
  readonly k: TensorSpec;
  readonly v: TensorSpec;
}

export interface AttentionAttributes {
  readonly heads: number;
  /** Query t sees the keys 0…t only. */
  readonly causal?: boolean;
  /** Factor on the logits; default 1/√D. */
  readonly scale?: number;
}

/** Multi-head attention without the score matrix: `y = softmax(scale·q kᵀ) v` for each batch and head.
 *
 *  q [B, Tq, H·D], k and v [Bk, Tk, H·D] with Bk = B or 1 → y like q. Logits and softmax in f32.
 *  @throws {ShapeError} the shapes do not fit, or H does not divide the width   @see Vaswani et al. 2017, arXiv:1706.03762, 3.2 */
export const attention: Kernel<AttentionInputs, AttentionAttributes> = {
  name: "attention",
  output({ q, k, v }, { heads }) {
    const { B, Bk, width } = attentionShape(q, k, heads);
    if (Bk !== B && Bk !== 1)
      throw new ShapeError(`k ${showSpec(k)} has batch ${Bk}, q ${showSpec(q)} wants ${B} or 1`);
    if (k.shape[2] !== width)
      throw new ShapeError(`k ${showSpec(k)} has width ${k.shape[2]}, q ${showSpec(q)} has ${width}`);
    if (!sameShape(k.shape, v.shape)) throw new ShapeError(`v ${showSpec(v)} and k ${showSpec(k)} differ`);
    if (k.dtype !== q.dtype || v.dtype !== q.dtype)
      throw new ShapeError(`q ${showSpec(q)}, k ${showSpec(k)} and v ${showSpec(v)} differ in dtype`);
    return q;
  },
  launch({ q, k }, _y, { heads, causal = false, scale }) {
    const { B, Bk, Tq, Tk, width } = attentionShape(q, k, heads);
    const D = width / heads;
    const { per, alias, library } = wideAccess(q, D);
    const QUERIES = queriesPerThread(Tq, D / per);
    return launch(contract, {
      params: {
        queries: Tq,
        keys: Tk,
        width: D / per,
        row: width / per,
        keyBatch: Bk === 1 ? 0 : (Tk * width) / per,
        scale: (scale ?? 1 / Math.sqrt(D)) * Math.LOG2E,
      },
      overrides: { CAUSAL: causal },
      alias,
      consts: { D: D / per, QUERIES },
      libraries: { wide: library },
      workgroups: [ceilDiv(Tq, contract.overrides.WG * QUERIES), heads, B],
    });
  },
};

/** Four queries share each load of a key, fewer where there are no more, or where their private arrays would grow past 160 `wide`s:
 *  WebGPU zeroes them element by element, which software adapters compile for seconds. */
function queriesPerThread(Tq: number, width: number): number {
  return Math.max(1, Math.min(4, ceilDiv(Tq, contract.overrides.WG), Math.floor(160 / width)));
}

function attentionShape(q: TensorSpec, k: TensorSpec, heads: number) {
  const [B = 0, Tq = 0, width = 0] = q.shape;
  const [Bk = 0, Tk = 0] = k.shape;
  if (q.shape.length !== 3 || k.shape.length !== 3)
    throw new ShapeError(
      `q ${showSpec(q)} and k ${showSpec(k)} have ranks ${q.shape.length} and ${k.shape.length}, want 3`,
    );
  if (elementCount(q.shape) === 0 || elementCount(k.shape) === 0)
    throw new ShapeError(`q ${showSpec(q)} or k ${showSpec(k)} is empty: softmax over ${Tk} keys`);
  if (!Number.isInteger(heads) || heads < 1 || width % heads !== 0)
    throw new ShapeError(`${heads} heads do not divide the width ${width} of q ${showSpec(q)}`);
  return { B, Bk, Tq, Tk, width };
}
