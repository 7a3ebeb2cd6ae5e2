import { describe, expect, test } from "vitest";
import { FileError } from "../../../src/errors.ts";
import { needTensor } from "../../../src/weights/checkpoint.ts";
import { fitTensors } from "../../../src/weights/component.ts";
import type { Shape } from "../../../src/tensor.ts";
import { readBytes } from "./safetensors-files.ts";
import { encodeSafetensors } from "../../../src/weights/write.ts";
import { openTiny, tensorOf } from "./fake-checkpoints.ts";

describe("fitTensors", () => {
  test.each<[file: number[], wanted: Shape, fits: boolean]>([
    [[8, 6], [8, 6], true],
    [[8, 6, 1, 1], [8, 6], true],
    [[8, 6, 1], [8, 6], true],
    [[8, 6, 3, 3], [8, 6], false],
    [[8, 6, 1, 3], [8, 6], false],
    [[6, 8, 1, 1], [8, 6], false],
    [[8, 6], [8, 6, 1, 1], false],
    [[8, 1, 1], [8], false],
  ])("%j in the file, %j wanted: %s", async (shape, wanted, fits) => {
    const { tensors } = await readBytes(encodeSafetensors([tensorOf("w", shape)]));
    const fit = fitTensors(new Map([["w", wanted]]), (name) => tensors.get(name));
    expect(fit.tensors.get("w")?.shape).toEqual(fits ? wanted : undefined);
    expect(fit.misfits).toHaveLength(fits ? 0 : 1);
  });
});

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
