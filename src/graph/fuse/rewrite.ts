import { sameShape } from "../../tensor.ts";
import { rateOf, type Graph, type Node, type Storage } from "../graph.ts";

/** A fusion: a named rewriting of a graph that leaves its outputs' values unchanged. */
export interface Pass {
  readonly name: string;
  /** One line for people: what it does and what it saves. */
  readonly summary: string;
  readonly run: (graph: Graph) => Graph;
}

/** Merges producer → consumer pairs: `merge` returns the node that computes both, or undefined to leave them alone.
 *
 *  Only producers whose result nobody else sees are offered, in the shape and at the rate in which the consumer sees it. The merged node takes the consumer's place, so that all of its inputs exist by then. */
export function mergePairs(
  graph: Graph,
  through: (consumer: Node) => Node["inputs"][string],
  merge: (producer: Node, consumer: Node) => Node | undefined,
): Graph {
  const uses = useCounts(graph);
  const producers = new Map<Storage, Node>(graph.nodes.map((n) => [n.y.storage, n]));
  const dropped = new Set<Node>();
  const nodes: Node[] = [];
  for (const consumer of graph.nodes) {
    const x = through(consumer);
    const producer = x && producers.get(x.storage);
    const joinable =
      producer &&
      uses.get(x.storage) === 1 &&
      sameShape(producer.y.shape, x.shape) &&
      rateOf(producer.y) === rateOf(consumer.y);
    const merged = joinable ? merge(producer, consumer) : undefined;
    if (merged) {
      dropped.add(producer!);
      producers.set(merged.y.storage, merged);
    }
    nodes.push(merged ?? consumer);
  }
  return { ...graph, nodes: nodes.filter((n) => !dropped.has(n)) };
}

/** How many node inputs and outputs of the graph read each storage. */
export function useCounts(graph: Graph): Map<Storage, number> {
  const uses = new Map<Storage, number>();
  const count = (s: Storage) => uses.set(s, (uses.get(s) ?? 0) + 1);
  for (const node of graph.nodes) for (const v of Object.values(node.inputs)) if (v) count(v.storage);
  for (const v of graph.outputs.values()) count(v.storage);
  return uses;
}
