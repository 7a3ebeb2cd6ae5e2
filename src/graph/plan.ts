import { InternalError, LimitError } from "../errors.ts";
import type { Launch } from "../kernels/contract.ts";
import { noFeatures, type KernelFeatures } from "../kernels/kernel.ts";
import { storageBytes, type TensorSpec } from "../tensor.ts";
import { place, type Interval } from "./arenas.ts";
import { rateOf, type Graph, type Node, type Rate, type Storage, type Value } from "./graph.ts";

/** Where a tensor lives. `kept` arenas belong to one plan and survive between evaluations; `scratch` arenas may be shared by plans that run in turn. */
export type Slot =
  | {
      readonly kind: "input" | "weight" | "constant";
      readonly name: string;
      readonly spec: TensorSpec;
      readonly bytes: number;
    }
  | {
      readonly kind: "kept" | "scratch";
      readonly arena: number;
      readonly offset: number;
      readonly spec: TensorSpec;
      readonly bytes: number;
    };

/** One dispatch of a plan. */
export interface Step {
  readonly label: string;
  readonly op: string;
  readonly launch: Launch;
  readonly slots: Readonly<Record<string, Slot>>;
}

/** A graph ready to run: plain data, printed by `print.ts` and snapshotted. */
export interface Plan {
  readonly name: string;
  /** What depends on the prompt or the schedule only: runs once per picture. */
  readonly once: readonly Step[];
  /** One network evaluation. */
  readonly step: readonly Step[];
  readonly inputs: ReadonlyMap<string, TensorSpec>;
  readonly weights: ReadonlyMap<string, Value>;
  readonly constants: ReadonlyMap<string, Float32Array>;
  readonly outputs: ReadonlyMap<string, Slot>;
  /** Bytes of each arena. */
  readonly kept: readonly number[];
  readonly scratch: readonly number[];
  /** The most bytes of scratch alive at one time: no plan can do with less. */
  readonly scratchLowerBound: number;
}

export interface PlanLimits {
  /** Largest single binding; WebGPU's default is 128 MiB. */
  readonly maxBindingBytes: number;
  /** Largest buffer, and so arena; WebGPU's default is 256 MiB. */
  readonly maxBufferBytes: number;
}

export const defaultLimits: PlanLimits = { maxBindingBytes: 2 ** 27, maxBufferBytes: 2 ** 28 };

/** Name of a weight's storage: a part of a table has its rows in it. */
export function weightKey(storage: Extract<Storage, { kind: "weight" }>): string {
  return storage.rows ? `${storage.name}[${storage.rows[0]}:${storage.rows[1]}]` : storage.name;
}

/** The weights that a graph reads, by `weightKey`. */
export function weightsOf({ nodes }: Pick<Graph, "nodes">): Map<string, Value> {
  const found = new Map<string, Value>();
  for (const { inputs } of nodes) {
    for (const v of Object.values(inputs)) if (v?.storage.kind === "weight") found.set(weightKey(v.storage), v);
  }
  return found;
}

/** Orders a graph, gives every intermediate its place and every op its launch, by default for a device without optional features.
 *  @throws {LimitError} a tensor is larger than one binding may be */
export function plan(graph: Graph, limits: PlanLimits = defaultLimits, features: KernelFeatures = noFeatures): Plan {
  const phase = (rate: Rate) => graph.nodes.filter((n) => rateOf(n.y) === rate);
  const once = phase("once");
  const nodes = [...once, ...phase("step")];
  const { slots, kept, scratch, scratchLowerBound } = assign(graph, nodes, once.length, limits);

  const inputs = new Map<string, TensorSpec>();
  const weights = new Map<string, Value>();
  const constants = new Map<string, Float32Array>();
  const slotOf = (v: Value): Slot => {
    const { storage, shape, dtype } = v;
    const spec = { shape, dtype };
    const bytes = storageBytes(spec);
    switch (storage.kind) {
      case "input":
        inputs.set(storage.name, inputs.get(storage.name) ?? spec);
        return { kind: "input", name: storage.name, spec, bytes };
      case "weight": {
        const name = weightKey(storage);
        weights.set(name, v);
        return { kind: "weight", name, spec, bytes };
      }
      case "constant":
        constants.set(storage.name, storage.data);
        return { kind: "constant", name: storage.name, spec, bytes };
      case "node": {
        const slot = slots.get(storage);
        if (!slot) throw new InternalError(`'${graph.name}' uses a tensor that no node makes`);
        return { ...slot, spec, bytes };
      }
    }
  };
  const stepOf = (node: Node): Step => {
    const given = Object.entries(node.inputs).filter((e): e is [string, Value] => e[1] !== undefined);
    const slotted = Object.fromEntries([...given, ["y", node.y] as const].map(([name, v]) => [name, slotOf(v)]));
    for (const [name, slot] of Object.entries(slotted)) {
      if (slot.bytes > limits.maxBindingBytes) {
        throw new LimitError(
          `${node.kernel.name} '${node.label}': ${name} needs ${slot.bytes} bytes in one binding, this device binds ${limits.maxBindingBytes}`,
          "choose a smaller picture or dtype f16",
        );
      }
    }
    return {
      label: node.label,
      op: node.kernel.name,
      launch: node.kernel.launch(node.inputs, node.y, node.attributes, features),
      slots: slotted,
    };
  };
  const steps = nodes.map(stepOf);
  return {
    name: graph.name,
    once: steps.slice(0, once.length),
    step: steps.slice(once.length),
    inputs,
    weights,
    constants,
    outputs: new Map([...graph.outputs].map(([name, v]) => [name, slotOf(v)])),
    kept,
    scratch,
    scratchLowerBound,
  };
}

type ArenaSlot = Extract<Slot, { kind: "kept" | "scratch" }>;

/** Liveness, then arenas: what the step phase reads of the once phase, and all outputs, is kept; the rest is scratch. */
function assign(graph: Graph, nodes: readonly Node[], onceCount: number, limits: PlanLimits) {
  const last = new Map<Storage, number>();
  const outputs = new Set([...graph.outputs.values()].map((v) => v.storage));
  const neighbours = new Map<Storage, Set<Storage>>();
  const link = (a: Storage, b: Storage) => {
    for (const [from, to] of [
      [a, b],
      [b, a],
    ] as const)
      neighbours.set(from, (neighbours.get(from) ?? new Set()).add(to));
  };
  nodes.forEach(({ inputs, y }, i) => {
    for (const v of Object.values(inputs)) {
      if (v?.storage.kind !== "node") continue;
      last.set(v.storage, i);
      link(v.storage, y.storage);
    }
  });
  const intervals = nodes.map(({ y, label }, first): Interval<Storage> & { kept: boolean } => {
    const end = last.get(y.storage) ?? first;
    const kept = outputs.has(y.storage) || (first < onceCount && end >= onceCount);
    return {
      key: y.storage,
      label,
      bytes: storageBytes(y),
      first: kept ? 0 : first,
      last: kept ? nodes.length : end,
      kept,
    };
  });
  const conflicts = (s: Storage) => neighbours.get(s) ?? new Set<Storage>();
  const kept = place(
    intervals.filter((v) => v.kept),
    conflicts,
    limits.maxBufferBytes,
  );
  const scratch = place(
    intervals.filter((v) => !v.kept),
    conflicts,
    limits.maxBufferBytes,
  );
  const slots = new Map<Storage, ArenaSlot>();
  for (const { key, bytes, kept: isKept } of intervals) {
    const at = (isKept ? kept : scratch).places.get(key)!;
    slots.set(key, {
      kind: isKept ? "kept" : "scratch",
      arena: at.arena,
      offset: at.offset,
      bytes,
      spec: { shape: [], dtype: "f32" },
    });
  }
  return { slots, kept: kept.arenas, scratch: scratch.arenas, scratchLowerBound: scratch.lowerBound };
}
