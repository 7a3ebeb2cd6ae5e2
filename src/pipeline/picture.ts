import { DeviceError } from "../errors.ts";
import { createBuffer, destroyBuffer, wholeBuffer, type BufferRange, type GpuBuffer } from "../gpu/buffers.ts";
import type { Gpu } from "../gpu/device.ts";
import { disposeProgram, prepare, readBuffer, submit, type Program } from "../gpu/program.ts";
import { instantiate } from "../graph/execute.ts";
import type { Plan } from "../graph/plan.ts";
import { rgba } from "../kernels/rgba.ts";
import { storageBytes, type TensorSpec } from "../tensor.ts";
import type { VaePart } from "./model.ts";

/** A picture on the host: RGBA8, row by row from the top. */
export interface Picture {
  readonly width: number;
  readonly height: number;
  readonly channels: 4;
  readonly data: Uint8ClampedArray;
}

/** A decoder bound to a run's latents. */
export interface Decoder {
  /** Latents → RGBA bytes: the one read-back of a picture. @throws {DeviceError} the picture has no finite pixels */
  decode(): Promise<Picture[]>;
  dispose(): void;
}

export async function createDecoder(
  gpu: Gpu,
  plan: Plan,
  vae: VaePart,
  latents: BufferRange,
  scratch: readonly GpuBuffer[],
  onPipeline: () => void,
): Promise<Decoder> {
  const cleanup: (() => void)[] = [];
  const dispose = () => {
    for (const undo of cleanup.splice(0).reverse()) undo();
  };
  const resources = { weights: vae.weights.ranges, scratch, inputs: { latents }, onPipeline };
  const executable = await instantiate(gpu, plan, resources);
  cleanup.push(executable.dispose);
  const x: TensorSpec = plan.outputs.get("output")!.spec;
  const y = rgba.output({ x }, {});
  let pixels: GpuBuffer;
  let program: Program;
  try {
    pixels = createBuffer(gpu, storageBytes(y), "pixels");
    cleanup.push(() => destroyBuffer(gpu, pixels));
    const buffers = { x: executable.outputs.get("output")!, y: wholeBuffer(pixels) };
    program = await prepare(gpu, "rgba", [{ launch: rgba.launch({ x }, y, {}), buffers, label: "pixels" }]);
    cleanup.push(() => disposeProgram(gpu, program));
  } catch (error) {
    dispose();
    throw error;
  }
  const [n = 1, height = 1, width = 1] = y.shape;
  return {
    async decode() {
      submit(gpu, [executable.once, executable.step, program]);
      const bytes = await readBuffer(gpu, { buffer: pixels, offset: 0, bytes: storageBytes(y) });
      const each = 4 * width * height;
      return Array.from({ length: n }, (_, i) => picture(bytes.slice(i * each, (i + 1) * each), width, height));
    },
    dispose,
  };
}

/** The kernel marks pixels that are no numbers by a transparent alpha. */
function picture(bytes: Uint8Array, width: number, height: number): Picture {
  let bad = 0;
  for (let i = 3; i < bytes.length; i += 4) if (bytes[i] === 0) bad++;
  if (bad > 0) {
    throw new DeviceError(
      `${bad} of ${width * height} pixels are not a number`,
      "f16 overflow or extreme guidance: try dtype f32, or guidance scales nearer to 1",
    );
  }
  return { width, height, channels: 4, data: new Uint8ClampedArray(bytes.buffer, bytes.byteOffset, bytes.byteLength) };
}
