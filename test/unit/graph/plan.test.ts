import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { fuse } from "../../../src/graph/fuse/index.ts";
import { finish, type GraphBuilder } from "../../../src/graph/graph.ts";
import { plan, type Plan } from "../../../src/graph/plan.ts";
import { printPlan } from "../../../src/graph/print.ts";
import { clipText, clipTextConfig } from "../../../src/models/clip-text.ts";
import { unet } from "../../../src/models/unet.ts";
import { unetConfig } from "../../../src/models/unet-config.ts";
import { vaeConfig, vaeDecoder } from "../../../src/models/vae.ts";
import { familyConfigs } from "../../../src/weights/keys/default-configs.ts";
import { expectedTensors } from "../../../src/weights/keys/expected.ts";

// Stock SD1.5 at 512×512 in f16, planned for WebGPU's default limits. The snapshots are reviewed like code: a refactor leaves them unchanged.
// To accept a change: `npx vitest run test/unit/graph -u`, then read the diff.

const { sd1 } = familyConfigs;
const names = { unet: "unet", vae: "vae", text_encoder: "textEncoder" } as const;

function tensors(component: "unet" | "vae" | "text_encoder") {
  const shapes = expectedTensors(component, sd1[names[component]], component);
  return new Map([...shapes].map(([name, shape]) => [name, { shape, dtype: "F16" }]));
}

const planned = (g: GraphBuilder): Plan => plan(fuse(finish(g)));
const models = {
  unet: () =>
    unet(unetConfig(sd1.unet, "unet"), tensors("unet"), "f16", {
      batch: 1,
      branches: 2,
      height: 64,
      width: 64,
      timesteps: 50,
      tokens: 77,
    }),
  vae: () => vaeDecoder(vaeConfig(sd1.vae, "vae"), tensors("vae"), "f16", { batch: 1, height: 64, width: 64 }),
  text: () =>
    clipText(clipTextConfig(sd1.textEncoder, "text"), tensors("text_encoder"), "f16", { batch: 2, tokens: 77 }),
};

// The text encoder's tensors are nearly all of one size, and an op's result may share no buffer with its input or its residual: three are needed where two live.
const mostOverLowerBound = { unet: 1.15, vae: 1.21, text: 1.51 };

describe.each(Object.keys(models) as (keyof typeof models)[])("the plan of SD1.5's %s", (name) => {
  const result = planned(models[name]());

  it("is the one in the snapshot", async () => {
    await expect(printPlan(result)).toMatchFileSnapshot(
      fileURLToPath(new URL(`../../snapshots/sd15-${name}.txt`, import.meta.url)),
    );
  });

  it("wastes little memory", () => {
    const total = result.scratch.reduce((a, b) => a + b, 0);
    expect(total / result.scratchLowerBound).toBeLessThan(mostOverLowerBound[name]);
  });

  it("binds no buffer for reading and for writing at once", () => {
    for (const { slots, label, op } of [...result.once, ...result.step]) {
      const { y, ...inputs } = slots;
      if (!y || !("arena" in y)) throw new Error(`${op} '${label}' writes nothing`);
      for (const slot of Object.values(inputs))
        expect("arena" in slot && slot.kind === y.kind && slot.arena === y.arena, `${op} '${label}'`).toBe(false);
    }
  });

  it("reads every tensor of the checkpoint that belongs to it, once fused or not", () => {
    const used = (p: Plan) => [...p.weights.keys()].sort();
    expect(used(plan(finish(models[name]())))).toEqual(used(result));
  });
});

it("SD1.5's UNet reads all of its 686 tensors", () => {
  expect([...planned(models.unet()).weights.keys()].sort()).toEqual([...tensors("unet").keys()].sort());
});
