import { packRows, type SamplerRow } from "../../src/kernels/sampler-state.ts";
import { tensor, type HostTensor } from "./tensor.ts";

/** A schedule as 4-byte words. */
export function scheduleTensor(rows: readonly SamplerRow[]): HostTensor {
  const words = new Uint32Array(packRows(rows).buffer);
  return tensor([words.length], "u32", words);
}

/** The state with a row in force. */
export function stateTensor(row: SamplerRow): HostTensor {
  const words = [...new Uint32Array(packRows([row]).buffer), 1];
  return tensor([words.length], "u32", words);
}

/** A row of the schedule: numbers as f32, as the GPU sees them. */
export function samplerRow(given: Partial<SamplerRow>): SamplerRow {
  const defaults = { tRow: 0, cx: 1, ce: 0, ex: 0, em: 1, guidanceScale: 1, strength: 1, alphaBar: 0.5 };
  const numbers = Object.entries({ ...defaults, ...given }).map(([k, v]) => [
    k,
    typeof v === "number" ? Math.fround(v) : v,
  ]);
  return { query: "x", source: "x", target: "x", ...Object.fromEntries(numbers) } as SamplerRow;
}
