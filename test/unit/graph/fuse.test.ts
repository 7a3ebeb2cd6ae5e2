import { describe, expect, it } from "vitest";
import { fuse } from "../../../src/graph/fuse/index.ts";
import { apply, createGraph, finish, input, type GraphBuilder, type Value } from "../../../src/graph/graph.ts";
import { activation } from "../../../src/kernels/activation.ts";
import { add } from "../../../src/kernels/add.ts";
import { conv2d } from "../../../src/kernels/conv2d.ts";
import { matmul } from "../../../src/kernels/matmul.ts";

const f32 = (...shape: number[]) => ({ shape, dtype: "f32" as const });
const show = (g: GraphBuilder, without: string[] = []) => fuse(finish(g), without).nodes.map((n) => n.kernel.name);

/** x·W on 4 channels. */
function dense(g: GraphBuilder, x: Value, name: string): Value {
  return apply(
    g,
    matmul,
    { x, weight: input(`${name}.weight`, f32(4, 4), "once"), bias: undefined, residual: undefined },
    {},
    name,
  );
}

function conv(g: GraphBuilder, x: Value, name: string): Value {
  const weight = input(`${name}.weight`, f32(3, 3, 4, 4), "once");
  return apply(
    g,
    conv2d,
    { x, weight, bias: undefined, addend: undefined, residual: undefined },
    { stride: 1, padding: 1 },
    name,
  );
}

function graph(write: (g: GraphBuilder, x: Value) => Value): GraphBuilder {
  const g = createGraph("test");
  g.outputs.set("output", write(g, input("x", f32(1, 2, 2, 4), "step")));
  return g;
}

describe("fusion passes", () => {
  it("takes time embedding, nonlinearity and residual into a conv, in that order", () => {
    const g = graph((g, x) => {
      const temb = input("temb", f32(4), "step");
      const timed = apply(g, add, { a: conv(g, x, "conv"), b: temb }, {}, "temb");
      return apply(g, add, { a: apply(g, activation, { x: timed }, { kind: "silu" }, "act"), b: x }, {}, "skip");
    });
    const { nodes } = fuse(finish(g));
    expect(nodes.map((n) => n.kernel.name)).toEqual(["conv2d"]);
    expect(nodes[0]!.attributes).toMatchObject({ activation: "silu" });
    expect(nodes[0]!.inputs).toMatchObject({ addend: { shape: [1, 4] }, residual: { shape: [1, 2, 2, 4] } });
  });

  it("can be switched off one by one", () => {
    const g = graph((g, x) =>
      apply(g, add, { a: apply(g, activation, { x: dense(g, x, "fc") }, { kind: "gelu" }, "act"), b: x }, {}, "skip"),
    );
    expect(show(g)).toEqual(["matmul"]);
    expect(show(g, ["residual"])).toEqual(["matmul", "add"]);
    expect(show(g, ["activation"])).toEqual(["matmul", "activation", "add"]);
    expect(() => show(g, ["nothing"])).toThrow("no fusion pass is called 'nothing'");
  });

  it("leaves a producer alone whose result someone else reads", () => {
    const g = graph((g, x) => {
      const y = dense(g, x, "fc");
      return apply(g, add, { a: apply(g, activation, { x: y }, { kind: "relu" }, "act"), b: y }, {}, "skip");
    });
    expect(show(g)).toEqual(["matmul", "activation", "add"]);
  });

  it("does not take a nonlinearity past a residual", () => {
    const g = graph((g, x) =>
      apply(g, activation, { x: apply(g, add, { a: dense(g, x, "fc"), b: x }, {}, "skip") }, { kind: "relu" }, "act"),
    );
    expect(show(g)).toEqual(["matmul", "activation"]);
  });

  it("does not pull once-per-picture work into every step", () => {
    const g = createGraph("test");
    const [once, step] = [input("once", f32(1, 4), "once"), input("step", f32(1, 4), "step")];
    g.outputs.set("output", apply(g, add, { a: dense(g, once, "fc"), b: step }, {}, "sum"));
    expect(show(g)).toEqual(["matmul", "add"]);
  });

  it("drops what no output needs", () => {
    const g = graph((g, x) => {
      dense(g, x, "unused");
      return dense(g, x, "used");
    });
    expect(finish(g).nodes.map((n) => n.label)).toEqual(["used"]);
  });
});
