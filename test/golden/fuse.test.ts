import { describe, expect, it } from "vitest";
import { passes } from "../../src/graph/fuse/index.ts";
import { createWeightPool } from "../../src/graph/weight-pool.ts";
import { runComponent, type ComponentName, type HostTensor } from "../../src/pipeline/component.ts";
import { openCheckpoint } from "../../src/weights/checkpoint.ts";
import { diskFolder } from "../../src/weights/disk.ts";
import { testGpu } from "../support/adapter.ts";
import { goldenPath, readGolden, relativeError } from "../support/golden.ts";
import { closeAfterTests } from "../support/op.ts";

// A fusion changes where an intermediate is rounded, never what is computed: in f32 the two differ by a few roundings.
closeAfterTests();

async function run(component: ComponentName, file: string, without: string[]): Promise<HostTensor> {
  const { tensors } = await readGolden(file);
  const inputs = new Map([...tensors].filter(([n]) => n.startsWith("input.")).map(([n, t]) => [n.slice(6), t]));
  const folder = await diskFolder(goldenPath("models/sd15-strong"));
  try {
    const context = { gpu: await testGpu(), pool: createWeightPool(), dtype: "f32" as const, without };
    return (await runComponent(context, await openCheckpoint(folder), { component, inputs })).get("output")!;
  } finally {
    await folder.close();
  }
}

describe.each([
  ["text_encoder", "data/sd15-strong.text_encoder.safetensors"],
  ["unet", "data/sd15-strong.unet.safetensors"],
] as const)("%s", (component, file) => {
  it.each([...passes.map((p) => [p.name]), passes.map((p) => p.name)])(
    "without %s %s %s equals fused",
    async (...without) => {
      const fused = await run(component, file, []);
      const unfused = await run(component, file, without);
      expect(relativeError(unfused.data, fused.data)).toBeLessThan(2e-6);
    },
  );
});
