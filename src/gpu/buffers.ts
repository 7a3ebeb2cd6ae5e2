import { InternalError, LimitError } from "../errors.ts";
import { alignUp } from "../tensor.ts";
import type { Gpu } from "./device.ts";

/** A buffer on the device, known to the ledger until it is destroyed. */
export interface GpuBuffer {
  readonly label: string;
  readonly bytes: number;
  readonly handle: GPUBuffer;
}

/** Part of a buffer, as a kernel binds it. */
export interface BufferRange {
  readonly buffer: GpuBuffer;
  readonly offset: number;
  readonly bytes: number;
}

/** Every byte allocated and not yet returned, and the most there ever was. */
export interface Ledger {
  readonly live: Set<GpuBuffer>;
  bytes: number;
  peakBytes: number;
}

const storageUsage = 0x80 | 0x04 | 0x08; // STORAGE | COPY_SRC | COPY_DST: numbers, since the globals are absent in Node
const uniformUsage = 0x40 | 0x08; // UNIFORM | COPY_DST
const readbackUsage = 0x01 | 0x08; // MAP_READ | COPY_DST

/** Allocates a storage buffer of at least `bytes`, zero-filled, and enters it in the ledger.
 *  @throws {LimitError} larger than the device allows; lack of memory is thrown by the next `check` */
export function createBuffer(
  gpu: Gpu,
  bytes: number,
  label: string,
  usage: "storage" | "uniform" | "readback" = "storage",
): GpuBuffer {
  const size = Math.max(16, alignUp(bytes, 4));
  const limit = gpu.device.limits.maxBufferSize;
  if (size > limit) {
    throw new LimitError(
      `'${label}' needs ${size} bytes, a buffer of this device holds ${limit}`,
      "choose a smaller picture or --dtype f16",
    );
  }
  const flags = usage === "storage" ? storageUsage : usage === "uniform" ? uniformUsage : readbackUsage;
  gpu.device.pushErrorScope("out-of-memory");
  const buffer: GpuBuffer = { label, bytes: size, handle: gpu.device.createBuffer({ label, size, usage: flags }) };
  void gpu.device.popErrorScope().then((error) => {
    if (error)
      gpu.failures.push(
        new LimitError(
          `'${label}' needs ${size} bytes, ${gpu.ledger.bytes} are in use: ${error.message}`,
          "close other programs, or choose a smaller picture or --dtype f16",
        ),
      );
  });
  gpu.ledger.live.add(buffer);
  gpu.ledger.bytes += size;
  gpu.ledger.peakBytes = Math.max(gpu.ledger.peakBytes, gpu.ledger.bytes);
  return buffer;
}

/** Returns a buffer's bytes. @throws {InternalError} on the second call */
export function destroyBuffer(gpu: Gpu, buffer: GpuBuffer): void {
  if (!gpu.ledger.live.delete(buffer)) throw new InternalError(`'${buffer.label}' is destroyed twice`);
  gpu.ledger.bytes -= buffer.bytes;
  buffer.handle.destroy();
}

/** Allocates several buffers, or none: what was allocated before one is refused goes back. */
export function createBuffers(
  gpu: Gpu,
  wanted: readonly { readonly bytes: number; readonly label: string }[],
): GpuBuffer[] {
  const made: GpuBuffer[] = [];
  try {
    for (const { bytes, label } of wanted) made.push(createBuffer(gpu, bytes, label));
    return made;
  } catch (error) {
    for (const buffer of made) destroyBuffer(gpu, buffer);
    throw error;
  }
}

export function wholeBuffer(buffer: GpuBuffer): BufferRange {
  return { buffer, offset: 0, bytes: buffer.bytes };
}

/** Writes bytes at a 4-aligned offset. A length that is no multiple of 4 is padded with zeros. */
export function writeBuffer(gpu: Gpu, buffer: GpuBuffer, offset: number, data: Uint8Array): void {
  if (offset + alignUp(data.byteLength, 4) > buffer.bytes) {
    throw new InternalError(`${data.byteLength} bytes at ${offset} do not fit '${buffer.label}' of ${buffer.bytes}`);
  }
  const whole = data.byteLength - (data.byteLength % 4);
  gpu.device.queue.writeBuffer(buffer.handle, offset, data.buffer, data.byteOffset, whole);
  if (whole < data.byteLength) {
    const tail = new Uint8Array(4);
    tail.set(data.subarray(whole));
    gpu.device.queue.writeBuffer(buffer.handle, offset + whole, tail.buffer, 0, 4);
  }
}
