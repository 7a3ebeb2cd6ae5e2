import { InternalError } from "../errors.ts";
import {
  createBuffer,
  createBuffers,
  destroyBuffer,
  wholeBuffer,
  writeBuffer,
  type BufferRange,
  type GpuBuffer,
} from "../gpu/buffers.ts";
import type { Gpu } from "../gpu/device.ts";
import { disposeProgram, prepare, type BoundLaunch, type Program } from "../gpu/program.ts";
import { storageBytes } from "../tensor.ts";
import type { Plan, Slot, Step } from "./plan.ts";

/** A plan on a device: everything compiled, allocated and bound, so that running it allocates nothing. */
export interface Executable {
  readonly plan: Plan;
  /** Replay after the inputs that change once per picture were written. */
  readonly once: Program;
  /** Replay for every network evaluation. */
  readonly step: Program;
  readonly inputs: ReadonlyMap<string, BufferRange>;
  readonly outputs: ReadonlyMap<string, BufferRange>;
  /** Returns what this executable allocated: not the weights, the scratch or inputs that were passed in. */
  dispose(): void;
}

export interface Resources {
  /** By `weightKey`. */
  readonly weights: ReadonlyMap<string, BufferRange>;
  /** From `createScratch`, possibly shared with plans that never run at the same time. */
  readonly scratch: readonly GpuBuffer[];
  /** Buffers for inputs that somebody else owns; the others are allocated here. */
  readonly inputs?: Readonly<Record<string, BufferRange>>;
  /** Called as each dispatch's pipeline becomes ready. */
  readonly onPipeline?: () => void;
}

/** Scratch arenas large enough for each of the plans in turn. */
export function createScratch(gpu: Gpu, plans: readonly Plan[]): GpuBuffer[] {
  const count = Math.max(0, ...plans.map((p) => p.scratch.length));
  const bytes = Array.from({ length: count }, (_, i) => Math.max(...plans.map((p) => p.scratch[i] ?? 0)));
  return createBuffers(
    gpu,
    bytes.map((size, i) => ({ bytes: size, label: `scratch ${i}` })),
  );
}

/** Compiles and binds a plan. @throws what `prepare` throws, after returning what was allocated */
export async function instantiate(
  gpu: Gpu,
  plan: Plan,
  { weights, scratch, inputs: given = {}, onPipeline }: Resources,
): Promise<Executable> {
  const owned: GpuBuffer[] = [];
  const programs: Program[] = [];
  const own = (bytes: number, label: string) => {
    const buffer = createBuffer(gpu, bytes, `${plan.name} ${label}`);
    owned.push(buffer);
    return buffer;
  };
  const dispose = () => {
    for (const program of programs.splice(0)) disposeProgram(gpu, program);
    for (const buffer of owned.splice(0)) destroyBuffer(gpu, buffer);
  };
  try {
    const kept = plan.kept.map((bytes, i) => own(bytes, `kept ${i}`));
    const inputs = new Map(
      [...plan.inputs].map(([name, spec]) => [name, given[name] ?? wholeBuffer(own(storageBytes(spec), name))]),
    );
    const constants = new Map<string, BufferRange>();
    for (const [name, data] of plan.constants) {
      const buffer = own(data.byteLength, name);
      writeBuffer(gpu, buffer, 0, new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
      constants.set(name, wholeBuffer(buffer));
    }
    const rangeOf = (slot: Slot): BufferRange => {
      if ("arena" in slot) {
        const buffer = (slot.kind === "kept" ? kept : scratch)[slot.arena];
        if (!buffer) throw new InternalError(`plan '${plan.name}' wants ${slot.kind} arena ${slot.arena}`);
        return { buffer, offset: slot.offset, bytes: slot.bytes };
      }
      const range = { input: inputs, weight: weights, constant: constants }[slot.kind].get(slot.name);
      if (!range)
        throw new InternalError(`plan '${plan.name}' wants ${slot.kind} '${slot.name}', which nobody supplied`);
      return range;
    };
    const bound = ({ label, launch, slots }: Step): BoundLaunch => ({
      launch,
      label,
      buffers: Object.fromEntries(Object.entries(slots).map(([name, slot]) => [name, rangeOf(slot)])),
    });
    for (const [phase, steps] of [
      ["once", plan.once],
      ["step", plan.step],
    ] as const) {
      programs.push(await prepare(gpu, `${plan.name} ${phase}`, steps.map(bound), onPipeline));
    }
    const outputs = new Map([...plan.outputs].map(([name, slot]) => [name, rangeOf(slot)]));
    return { plan, once: programs[0]!, step: programs[1]!, inputs, outputs, dispose };
  } catch (error) {
    dispose();
    throw error;
  }
}
