import { ceilDiv, elementCount, type TensorSpec } from "../tensor.ts";
import { flatGrid, launch } from "./contract.ts";
import { activation as contract } from "./contracts.gen.ts";
import { activationCode, type Activation, type Kernel } from "./kernel.ts";
import { wideAccess } from "./wide.ts";

/** A pointwise nonlinearity: `y = act(x)`, computed in f32. Any shape; y like x. */
export const activation: Kernel<{ x: TensorSpec }, { kind: Activation }> = {
  name: "activation",
  output: ({ x }) => x,
  launch({ x }, y, { kind }) {
    const elements = elementCount(y.shape);
    const { per, alias } = wideAccess(x, elements);
    const grid = flatGrid(ceilDiv(elements / per, contract.overrides.WG));
    return launch(contract, {
      params: { count: elements / per, gridX: grid[0] },
      overrides: { ACT: activationCode(kind) },
      alias,
      libraries: { "activation-wide": per === 4 ? "activation-wide" : "activation-wide-scalar" },
      workgroups: grid,
    });
  },
};
