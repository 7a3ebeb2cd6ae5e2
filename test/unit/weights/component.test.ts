import { describe, expect, test } from "vitest";
import { FileError } from "../../../src/errors.ts";
import { needTensor } from "../../../src/weights/checkpoint.ts";
import { openTiny } from "./fake-checkpoints.ts";

describe("needTensor", () => {
  test("a missing one is named with the nearest and the file", async () => {
    const { unet } = await openTiny();
    const needing = (): unknown => needTensor(unet!, "down_blocks.0.resnets.0.conv1.wieght");
    expect(needing).toThrow(FileError);
    expect(needing).toThrow(
      /tiny: unet\/diffusion_pytorch_model\.safetensors: unet has no tensor 'down_blocks\.0\.resnets\.0\.conv1\.wieght' among its \d+\n {2}hint: nearest: 'down_blocks\.0\.resnets\.0\.conv1\.weight'/,
    );
    expect(() => needTensor(unet!, "xyz")).toThrow(/has no tensor 'xyz'/);
  });

  test("one of another shape is named with both", async () => {
    const { unet } = await openTiny();
    expect(() => needTensor(unet!, "conv_in.weight", [320, 4, 3, 3])).toThrow(
      /'conv_in\.weight' is \[8, 4, 3, 3\], \[320, 4, 3, 3\] is wanted/,
    );
  });
});
