import { expect, it } from "vitest";
import { createPipeline } from "../../src/pipeline/pipeline.ts";
import { openCheckpoint } from "../../src/weights/checkpoint.ts";
import { diskFolder } from "../../src/weights/disk.ts";
import { noise } from "../reference.ts";
import { testGpu } from "../support/adapter.ts";
import { goldenPath, relativeError } from "../support/golden.ts";
import { closeAfterTests } from "../support/op.ts";

closeAfterTests();

it("Philox noise drawn on the GPU is the reference's noise, in the networks' layout", async () => {
  const folder = await diskFolder(goldenPath("models/sd15-strong"));
  const pipeline = await createPipeline({ gpu: await testGpu(), model: await openCheckpoint(folder), dtype: "f32" });
  try {
    const request = {
      prompt: "a cat",
      seed: 2 ** 33 + 7,
      steps: 2,
      guidanceScale: 1,
      returnLatents: true,
      width: 64,
      height: 128,
    };
    const drawn = await pipeline.generate({ ...request, generator: "philox" });
    const given = await pipeline.generate({ ...request, latents: Float32Array.from(noise(7, 2, 0, 4 * 8 * 16)) });
    // The kernel agrees with exact arithmetic to 1e-6; two steps of the network carry that on.
    expect(relativeError(drawn.latents!, given.latents!)).toBeLessThan(1e-5);
    expect(drawn.gpu.readbacks).toBe(2);
  } finally {
    pipeline.dispose();
    await folder.close();
  }
});
