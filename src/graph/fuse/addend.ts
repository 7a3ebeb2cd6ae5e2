import { reshape } from "../graph.ts";
import { mergePairs, type Pass } from "./rewrite.ts";

/** Adds the time embedding, one value per channel, in the store of the conv before it. */
export const addend: Pass = {
  name: "addend",
  summary: "time embedding in the epilogue of conv2d",
  run: (graph) =>
    mergePairs(
      graph,
      (n) =>
        n.kernel.name === "add" && n.attributes["scale"] === undefined && n.inputs["b"]?.shape.length === 1
          ? n.inputs["a"]
          : undefined,
      (producer, consumer) => {
        const free =
          producer.attributes["activation"] === undefined && !producer.inputs["residual"] && !producer.inputs["addend"];
        if (producer.kernel.name !== "conv2d" || !free) return undefined;
        const perChannel = consumer.inputs["b"]!;
        return {
          ...producer,
          inputs: { ...producer.inputs, addend: reshape(perChannel, [1, perChannel.shape[0]!], consumer.label) },
          y: consumer.y,
        };
      },
    ),
};
