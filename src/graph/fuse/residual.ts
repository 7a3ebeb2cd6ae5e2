import { sameShape } from "../../tensor.ts";
import type { Graph, Node } from "../graph.ts";
import { mergePairs, type Pass } from "./rewrite.ts";

const hosts = new Set(["matmul", "conv2d"]);

function plainSum({ kernel, inputs, attributes }: Node): boolean {
  const { a, b } = inputs;
  return kernel.name === "add" && attributes["scale"] === undefined && !!a && !!b && sameShape(a.shape, b.shape);
}

function into(graph: Graph, host: "a" | "b"): Graph {
  const other = host === "a" ? "b" : "a";
  return mergePairs(
    graph,
    (n) => (plainSum(n) ? n.inputs[host] : undefined),
    (producer, consumer) => {
      const fits =
        hosts.has(producer.kernel.name) &&
        !producer.inputs["residual"] &&
        sameShape(producer.y.shape, consumer.y.shape);
      return fits
        ? { ...producer, inputs: { ...producer.inputs, residual: consumer.inputs[other] }, y: consumer.y }
        : undefined;
    },
  );
}

/** Adds the skip connection in the store of the matmul or conv that ends the branch. */
export const residual: Pass = {
  name: "residual",
  summary: "residual sums in the epilogue of matmul and conv2d",
  run: (graph) => into(into(graph, "a"), "b"),
};
