import { mergePairs, type Pass } from "./rewrite.ts";

const hosts = new Set(["matmul", "conv2d", "group-norm"]);

/** Applies SiLU, GELU and the like in the store of the op before: one read and one write of the tensor less. */
export const activation: Pass = {
  name: "activation",
  summary: "nonlinearities in the epilogue of matmul, conv2d and group-norm",
  run: (graph) =>
    mergePairs(
      graph,
      (n) => (n.kernel.name === "activation" ? n.inputs["x"] : undefined),
      (producer, consumer) => {
        // act(conv + bias) + residual: a residual already added would have to go through the nonlinearity too.
        const free = producer.attributes["activation"] === undefined && !producer.inputs["residual"];
        if (!hosts.has(producer.kernel.name) || !free) return undefined;
        return {
          ...producer,
          attributes: { ...producer.attributes, activation: consumer.attributes["kind"] },
          y: consumer.y,
        };
      },
    ),
};
