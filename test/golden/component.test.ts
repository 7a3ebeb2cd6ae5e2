import { afterEach, describe, expect, it } from "vitest";
import { createWeightPool } from "../../src/graph/weight-pool.ts";
import { runComponent, type ComponentName } from "../../src/pipeline/component.ts";
import { openCheckpoint } from "../../src/weights/checkpoint.ts";
import { diskFolder } from "../../src/weights/disk.ts";
import { testGpu } from "../support/adapter.ts";
import { goldenNames, goldenPath, readGolden, relativeError } from "../support/golden.ts";
import { closeAfterTests, floatDtypes } from "../support/op.ts";

// Networks held to diffusers, block by block. The bounds are those of the project's promise; f32 sums of up to a few thousand terms through some sixty layers
// leave about 1e-6, f16 storage about 2e-3 here.
const bounds = { f32: 1e-4, f16: 1e-2 } as const;

closeAfterTests();

afterEach(async () => {
  const gpu = await testGpu();
  expect([...gpu.ledger.live].map((b) => b.label)).toEqual([]);
});

const components: ComponentName[] = ["unet", "text_encoder", "vae_encoder", "vae_decoder"];
const dtypes = await floatDtypes();

describe.each(goldenNames("data", /^[^.]+\..*\.safetensors$/))("%s", (file) => {
  it.each(dtypes)("%s", async (dtype) => {
    const { tensors, metadata } = await readGolden(`data/${file}`);
    const component = components.find((c) => c === metadata.get("component")!.replace("taesd_", "vae_"))!;
    const folder = await diskFolder(goldenPath(`models/${file.split(".")[0]}`));
    const gpu = await testGpu();
    const context = { gpu, pool: createWeightPool(), dtype, without: [] };
    try {
      const checkpoint = await openCheckpoint(folder, {
        components: [component.startsWith("vae") ? "vae" : (component as "unet")],
      });
      const inputs = new Map([...tensors].filter(([n]) => n.startsWith("input.")).map(([n, t]) => [n.slice(6), t]));
      const blocks = [...tensors.keys()].filter((n) => n.startsWith("block.")).sort();
      if (blocks.length > 0) {
        // With every block kept, nothing is fused across blocks: names the first one that diverges.
        const seen = await runComponent(context, checkpoint, { component, inputs, marks: true });
        let compared = 0;
        for (const block of blocks) {
          const ours = seen.get(block.replace(/^block\.\d+\./, ""));
          if (!ours) continue;
          compared++;
          const error = relativeError(ours.data, tensors.get(block)!.data);
          if (!(error <= bounds[dtype]))
            throw new Error(
              `the first block that diverges is ${block}: relative error ${error.toExponential(2)} > ${bounds[dtype]}`,
            );
        }
        expect(compared).toBeGreaterThan(blocks.length / 4);
      }
      // As it runs for real, fused.
      for (const [name, expected] of [...tensors].filter(([n]) => n.startsWith("output"))) {
        const skip = /clip_skip_(\d+)/.exec(name)?.[1];
        const result = await runComponent(context, checkpoint, { component, inputs, clipSkip: Number(skip ?? 0) });
        const key = name === "output.moments" ? "moments" : "output";
        const error = relativeError(result.get(key)!.data, expected.data);
        expect(error, `${name}: relative error`).toBeLessThanOrEqual(bounds[dtype]);
        if (process.env["SHOW_ERRORS"]) console.log(`${file} ${dtype} ${name} ${error.toExponential(2)}`);
      }
    } finally {
      await folder.close();
    }
  });
});
