import { createBuffer, destroyBuffer, wholeBuffer, writeBuffer, type GpuBuffer } from "../gpu/buffers.ts";
import { settle, type Gpu } from "../gpu/device.ts";
import { disposeProgram, prepare, submit, type Program } from "../gpu/program.ts";
import { repackLaunch, type RepackOptions } from "../kernels/repack.ts";

/** Carries chunks of a checkpoint to the GPU and has them repacked there. */
export interface Uploader {
  repack(chunk: Uint8Array, target: GpuBuffer, options: RepackOptions): Promise<void>;
  /** Waits until everything has arrived, and returns the staging memory. */
  flush(): Promise<void>;
}

/** What may be on its way to the GPU before the host waits: bounds memory, whatever the checkpoint's size. */
const inFlightBytes = 32 * 2 ** 20;

export function createUploader(gpu: Gpu): Uploader {
  const staging: GpuBuffer[] = [];
  const programs: Program[] = [];
  let bytes = 0;
  const flush = async () => {
    try {
      await settle(gpu);
    } finally {
      for (const program of programs.splice(0)) disposeProgram(gpu, program);
      for (const buffer of staging.splice(0)) destroyBuffer(gpu, buffer);
      bytes = 0;
    }
  };
  return {
    flush,
    async repack(chunk, target, options) {
      const raw = createBuffer(gpu, chunk.byteLength, "upload");
      staging.push(raw);
      writeBuffer(gpu, raw, 0, chunk);
      const buffers = { raw: wholeBuffer(raw), y: wholeBuffer(target) };
      const program = await prepare(gpu, "repack", [{ launch: repackLaunch(options), buffers, label: target.label }]);
      programs.push(program);
      submit(gpu, [program]);
      bytes += chunk.byteLength;
      if (bytes >= inFlightBytes) await flush();
    },
  };
}
