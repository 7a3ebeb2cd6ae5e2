import { UsageError } from "../../errors.ts";
import type { Graph } from "../graph.ts";
import { activation } from "./activation.ts";
import { addend } from "./addend.ts";
import { residual } from "./residual.ts";
import type { Pass } from "./rewrite.ts";

export type { Pass };

/** Every pass, in the order in which they run: what is added before the nonlinearity, the nonlinearity, what is added after it. */
export const passes: readonly Pass[] = [addend, activation, residual];

/** Runs all passes except the named ones.
 *  @throws {UsageError} no pass has that name */
export function fuse(graph: Graph, without: readonly string[] = []): Graph {
  const unknown = without.find((name) => !passes.some((p) => p.name === name));
  if (unknown !== undefined)
    throw new UsageError(
      `no fusion pass is called '${unknown}'`,
      `the passes are ${passes.map((p) => p.name).join(", ")}`,
    );
  return passes.filter((p) => !without.includes(p.name)).reduce((g, p) => p.run(g), graph);
}
