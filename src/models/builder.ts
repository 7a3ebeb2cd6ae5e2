import { FileError } from "../errors.ts";
import { activation as activationKernel } from "../kernels/activation.ts";
import { add } from "../kernels/add.ts";
import { conv2d as conv2dKernel } from "../kernels/conv2d.ts";
import { groupNorm as groupNormKernel } from "../kernels/group-norm.ts";
import { groupNormStats } from "../kernels/group-norm-stats.ts";
import type { Activation } from "../kernels/kernel.ts";
import { layerNorm as layerNormKernel } from "../kernels/layer-norm.ts";
import { matmul } from "../kernels/matmul.ts";
import type { ActivationDtype, GraphBuilder, Value, WeightLayout } from "../graph/graph.ts";
import { apply } from "../graph/graph.ts";
import { elementCount, showShape, type Shape } from "../tensor.ts";

/** What a model function needs to know of a tensor in the file. */
export interface TensorInfo {
  readonly dtype: string;
  readonly shape: Shape;
}

/** A model being written as a graph: the tensors of its file, and the dtype of its activations. */
export interface ModelBuilder {
  readonly g: GraphBuilder;
  /** For messages. */
  readonly file: string;
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  readonly dtype: ActivationDtype;
}

/** A tensor of the file as a graph value; f16 stays f16 whatever the activations are, vectors are f32.
 *  @throws {FileError} the file has no such tensor */
export function weight(m: ModelBuilder, name: string, layout: WeightLayout): Value {
  const known = m.g.weights.get(name);
  if (known) return known;
  const info = m.tensors.get(name);
  if (!info) throw new FileError(`${m.file} has no tensor '${name}'`, "the config describes another model than the file holds");
  const dtype = layout === "vector" ? "f32" : info.dtype === "F16" ? "f16" : m.dtype;
  const value: Value = { shape: layout === "matrix" ? kernelShape(info.shape) : info.shape, dtype, storage: { kind: "weight", name, layout } };
  m.g.weights.set(name, value);
  return value;
}

/** [O, I] → [I, O]; [O, I, KH, KW] → [KH, KW, I, O]: the output channels become contiguous. */
export function kernelShape([o = 1, i = 1, ...taps]: Shape): Shape {
  return [...taps, i, o];
}

function bias(m: ModelBuilder, name: string, wanted: boolean): Value | undefined {
  return wanted ? weight(m, `${name}.bias`, "vector") : undefined;
}

/** y = x·Wᵀ + b over the last dimension; W [O, I] in the file, or a 1×1 convolution [O, I, 1, 1], which over NHWC is the same. */
export function linear(m: ModelBuilder, x: Value, name: string, options: { bias?: boolean } = {}): Value {
  const w = weight(m, `${name}.weight`, "matrix");
  const [i, o] = w.shape.slice(-2);
  if (elementCount(w.shape) !== i! * o!) throw new FileError(`${m.file}: '${name}.weight' ${showShape(m.tensors.get(`${name}.weight`)!.shape)} is no linear layer`);
  const flat: Value = { ...w, shape: [i!, o!] };
  return apply(m.g, matmul, { x, weight: flat, bias: bias(m, name, options.bias ?? true), residual: undefined }, {}, name);
}

export function conv2d(
  m: ModelBuilder,
  x: Value,
  name: string,
  options: { stride?: 1 | 2; padding?: number | readonly [number, number, number, number]; bias?: boolean } = {},
): Value {
  const inputs = { x, weight: weight(m, `${name}.weight`, "matrix"), bias: bias(m, name, options.bias ?? true), addend: undefined, residual: undefined };
  return apply(m.g, conv2dKernel, inputs, { stride: options.stride ?? 1, padding: options.padding ?? 1 }, name);
}

export function groupNorm(m: ModelBuilder, x: Value, name: string, { groups, eps }: { groups: number; eps: number }): Value {
  const stats = apply(m.g, groupNormStats, { x }, { groups, eps }, name);
  const scale = weight(m, `${name}.weight`, "vector");
  const shift = weight(m, `${name}.bias`, "vector");
  return apply(m.g, groupNormKernel, { x, stats, weight: scale, bias: shift }, { groups }, name);
}

export function layerNorm(m: ModelBuilder, x: Value, name: string, eps: number): Value {
  return apply(m.g, layerNormKernel, { x, weight: weight(m, `${name}.weight`, "vector"), bias: weight(m, `${name}.bias`, "vector") }, { eps }, name);
}

export function activation(m: ModelBuilder, x: Value, kind: Activation, label: string): Value {
  return apply(m.g, activationKernel, { x }, { kind }, label);
}

export function sum(m: ModelBuilder, a: Value, b: Value, label: string): Value {
  return apply(m.g, add, { a, b }, {}, label);
}
