import { describe, expect, it } from "vitest";
import { closeGpu, openGpu, settle, type Gpu } from "../../src/gpu/device.ts";
import { createWeightPool } from "../../src/graph/weight-pool.ts";
import { findAdapter } from "../../src/node/adapter.ts";
import { runComponent } from "../../src/pipeline/component.ts";
import { openCheckpoint } from "../../src/weights/checkpoint.ts";
import { diskFolder } from "../../src/weights/disk.ts";
import { goldenPath, readGolden, relativeError } from "../support/golden.ts";

/** Runs the tiny text encoder and VAE against diffusers; returns the pipelines that were made. */
async function runTiny(gpu: Gpu): Promise<string[]> {
  const folder = await diskFolder(goldenPath("models/sd15-strong"));
  const context = { gpu, pool: createWeightPool(), dtype: "f32" as const, without: [] };
  try {
    for (const component of ["text_encoder", "vae_decoder"] as const) {
      const checkpoint = await openCheckpoint(folder, {
        components: [component === "vae_decoder" ? "vae" : component],
      });
      const { tensors } = await readGolden(`data/sd15-strong.${component}.safetensors`);
      const inputs = new Map([...tensors].filter(([n]) => n.startsWith("input.")).map(([n, t]) => [n.slice(6), t]));
      const result = await runComponent(context, checkpoint, { component, inputs });
      const expected = [...tensors].find(([n]) => n.startsWith("output") && !n.includes("clip_skip"))![1];
      // The project's bound for f32.
      expect(relativeError(result.get("output")!.data, expected.data), component).toBeLessThanOrEqual(1e-4);
    }
    await settle(gpu);
    expect([...gpu.ledger.live].map((b) => b.label)).toEqual([]);
    return [...gpu.pipelines.pipelines.keys()];
  } finally {
    await folder.close();
  }
}

const adapter = await findAdapter();

describe("optional features", () => {
  it("none is needed: a device with default limits runs the networks", async () => {
    const gpu = await openGpu({ gpu: adapter.gpu, require: "default" });
    try {
      expect(gpu.features).toEqual({ f16: false, subgroups: false, timestamps: false });
      expect(gpu.device.limits.maxStorageBufferBindingSize).toBe(2 ** 27);
      const made = await runTiny(gpu);
      expect(
        made.filter((p) => p.startsWith("layer-norm ") || p.startsWith("group-norm-stats ")).length,
      ).toBeGreaterThan(1);
      expect(made.filter((p) => /-subgroups |f16/.test(p))).toEqual([]);
    } finally {
      closeGpu(gpu);
    }
  });

  it("subgroups are used where the device has them", async () => {
    const gpu = await openGpu({ gpu: adapter.gpu });
    try {
      const made = await runTiny(gpu);
      for (const op of ["layer-norm", "group-norm-stats"]) {
        expect(
          made.some((p) => p.startsWith(`${op}-subgroups `)),
          `${op} with subgroups`,
        ).toBe(gpu.features.subgroups);
        expect(
          made.some((p) => p.startsWith(`${op} `)),
          `${op} without`,
        ).toBe(!gpu.features.subgroups);
      }
    } finally {
      closeGpu(gpu);
    }
  });
});
