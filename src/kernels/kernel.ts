import type { TensorSpec } from "../tensor.ts";
import type { Launch } from "./contract.ts";

/** Inputs of an op by binding name; an optional one may be undefined. */
export type Specs = Readonly<Record<string, TensorSpec | undefined>>;

/** Optional features of a device that kernels know how to use. Every kernel also runs without. */
export interface KernelFeatures {
  readonly subgroups: boolean;
}

export const noFeatures: KernelFeatures = { subgroups: false };

/** An op: two pure functions over shapes. `output` is shape inference, `launch` one dispatch that writes every element of `y`. */
export interface Kernel<I extends Specs = Specs, A = object> {
  readonly name: string;
  /** @throws {ShapeError} the inputs do not fit; the graph adds the layer's name */
  output(inputs: I, attributes: A): TensorSpec;
  /** @param features what the device has; default: none */
  launch(inputs: I, y: TensorSpec, attributes: A, features?: KernelFeatures): Launch;
}

/** Type of a storage element in WGSL. */
export function wgslType(spec: TensorSpec): "f32" | "f16" {
  return spec.dtype === "f16" ? "f16" : "f32";
}

/** How a weight matrix is read by a kernel whose activations are `x`: natively, or as f16 pairs packed in u32 where arithmetic is f32.
 *  The pair (alias of the vec4, library with `load_weight`) specialises shaders that say `//!use weight`. */
export function weightAccess(
  x: TensorSpec,
  weight: TensorSpec,
): { wvec4: string; library: "weight" | "weight-packed" } {
  if (weight.dtype === "f16" && x.dtype !== "f16") return { wvec4: "vec2<u32>", library: "weight-packed" };
  return { wvec4: `vec4<${wgslType(weight)}>`, library: "weight" };
}

/** Pointwise nonlinearities, in the order of `lib/activation.wgsl`. */
export const activations = ["none", "silu", "gelu", "quickGelu", "relu", "softClip"] as const;
export type Activation = (typeof activations)[number];

/** Value of the override ACT. */
export function activationCode(kind: Activation = "none"): number {
  return activations.indexOf(kind);
}
