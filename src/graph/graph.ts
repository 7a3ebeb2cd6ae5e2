import { InternalError, ShapeError } from "../errors.ts";
import type { Kernel, Specs } from "../kernels/kernel.ts";
import { elementCount, showShape, type Dtype, type Shape, type TensorSpec } from "../tensor.ts";

/** How often a value changes: once per picture (prompt, schedule) or at every network evaluation. */
export type Rate = "once" | "step";

/** How the GPU keeps a checkpoint's tensor. `matrix`: [O, I, …taps] becomes [taps…, I, O]; `table`: as it is; `vector`: as it is, always f32. */
export type WeightLayout = "matrix" | "table" | "vector";

/** Where the bytes behind one or more values come from. */
export type Storage =
  | { readonly kind: "input"; readonly name: string; readonly rate: Rate }
  | {
      readonly kind: "weight";
      readonly name: string;
      readonly layout: WeightLayout;
      readonly rows?: readonly [number, number];
    }
  | { readonly kind: "constant"; readonly name: string; readonly data: Float32Array }
  | { readonly kind: "node"; readonly rate: Rate };

/** A tensor in a graph. Values with one storage are views of the same bytes. */
export interface Value extends TensorSpec {
  readonly storage: Storage;
}

/** One op applied. `label` is the layer's name in the checkpoint, or its place in the model. */
export interface Node {
  readonly kernel: Kernel;
  readonly inputs: Readonly<Record<string, Value | undefined>>;
  readonly attributes: Readonly<Record<string, unknown>>;
  readonly y: Value;
  readonly label: string;
}

/** A model as data: nodes in an order in which they can run. Fusion passes take one and return another. */
export interface Graph {
  readonly name: string;
  readonly nodes: readonly Node[];
  readonly outputs: ReadonlyMap<string, Value>;
}

/** A graph being written. */
export interface GraphBuilder {
  readonly name: string;
  readonly nodes: Node[];
  readonly outputs: Map<string, Value>;
  /** Values that someone may want to look at, by the module's name in diffusers, in execution order. */
  readonly marks: Map<string, Value>;
  readonly weights: Map<string, Value>;
}

export function createGraph(name: string): GraphBuilder {
  return { name, nodes: [], outputs: new Map(), marks: new Map(), weights: new Map() };
}

/** A tensor that the caller fills. */
export function input(name: string, spec: TensorSpec, rate: Rate): Value {
  return { shape: spec.shape, dtype: spec.dtype, storage: { kind: "input", name, rate } };
}

/** A small f32 tensor known when the graph is written. */
export function constant(name: string, shape: Shape, data: Float32Array): Value {
  if (data.length !== elementCount(shape))
    throw new InternalError(`constant '${name}' has ${data.length} elements for ${showShape(shape)}`);
  return { shape, dtype: "f32", storage: { kind: "constant", name, data } };
}

/** The same bytes under another shape.
 *  @throws {ShapeError} the element counts differ */
export function reshape(x: Value, shape: Shape, label: string): Value {
  if (elementCount(x.shape) !== elementCount(shape))
    throw new ShapeError(`reshape '${label}': ${showShape(x.shape)} has not the elements of ${showShape(shape)}`);
  return { shape, dtype: x.dtype, storage: x.storage };
}

type Values<I extends Specs> = { readonly [K in keyof I]: undefined extends I[K] ? Value | undefined : Value };

export function rateOf(x: Value): Rate {
  return x.storage.kind === "input" || x.storage.kind === "node" ? x.storage.rate : "once";
}

/** Applies an op and infers its result.
 *  @throws {ShapeError} naming the op and the layer */
export function apply<I extends Specs, A extends object>(
  g: GraphBuilder,
  kernel: Kernel<I, A>,
  inputs: Values<I>,
  attributes: A,
  label: string,
): Value {
  const given = Object.values(inputs as Record<string, Value | undefined>).filter((v) => v !== undefined);
  const rate = given.some((v) => rateOf(v) === "step") ? "step" : "once";
  const { shape, dtype } = outputOf(kernel, inputs as unknown as I, attributes, label);
  const y: Value = { shape, dtype, storage: { kind: "node", rate } };
  g.nodes.push({
    kernel: kernel,
    inputs: inputs,
    attributes: attributes as Node["attributes"],
    y,
    label,
  });
  return y;
}

function outputOf<I extends Specs, A>(kernel: Kernel<I, A>, inputs: I, attributes: A, label: string): TensorSpec {
  try {
    return kernel.output(inputs, attributes);
  } catch (error) {
    if (error instanceof ShapeError) throw new ShapeError(`${kernel.name} '${label}': ${error.message}`);
    throw error;
  }
}

/** Makes a value findable under the name that diffusers gives to the module producing it. */
export function mark(g: GraphBuilder, name: string, x: Value): Value {
  g.marks.set(name, x);
  return x;
}

/** The finished graph: what the outputs (and `extra` ones) need, and nothing else. */
export function finish(g: GraphBuilder, extra: ReadonlyMap<string, Value> = new Map()): Graph {
  return prune({ name: g.name, nodes: g.nodes, outputs: new Map([...g.outputs, ...extra]) });
}

/** Drops nodes that no output needs. */
export function prune(graph: Graph): Graph {
  const needed = new Set<Storage>([...graph.outputs.values()].map((v) => v.storage));
  const kept: Node[] = [];
  for (const node of [...graph.nodes].reverse()) {
    if (!needed.has(node.y.storage)) continue;
    kept.unshift(node);
    for (const v of Object.values(node.inputs)) if (v) needed.add(v.storage);
  }
  return { ...graph, nodes: kept };
}

/** Every float dtype activations can have. */
export type ActivationDtype = Extract<Dtype, "f16" | "f32">;
