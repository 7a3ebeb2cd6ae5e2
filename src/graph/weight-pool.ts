import { destroyBuffer, type GpuBuffer } from "../gpu/buffers.ts";
import type { Gpu } from "../gpu/device.ts";

/** Weights on the GPU by content, so that tensors equal in two checkpoints are stored once. */
export interface WeightPool {
  readonly byContent: Map<string, GpuBuffer>;
  readonly users: Map<GpuBuffer, { count: number; key: string }>;
  /** Bytes that a second copy would have taken. */
  sharedBytes: number;
}

export function createWeightPool(): WeightPool {
  return { byContent: new Map(), users: new Map(), sharedBytes: 0 };
}

/** Enters an uploaded tensor; if the pool holds the same content already, the new buffer is destroyed and the old one returned. */
export function share(gpu: Gpu, pool: WeightPool, key: string, fresh: GpuBuffer): GpuBuffer {
  const known = pool.byContent.get(key);
  if (known) {
    pool.users.get(known)!.count++;
    pool.sharedBytes += known.bytes;
    destroyBuffer(gpu, fresh);
    return known;
  }
  pool.byContent.set(key, fresh);
  pool.users.set(fresh, { count: 1, key });
  return fresh;
}

/** Gives up one use of a tensor; its bytes go back with the last one. */
export function release(gpu: Gpu, pool: WeightPool, buffer: GpuBuffer): void {
  const use = pool.users.get(buffer)!;
  if (--use.count > 0) {
    pool.sharedBytes -= buffer.bytes;
    return;
  }
  pool.users.delete(buffer);
  pool.byContent.delete(use.key);
  destroyBuffer(gpu, buffer);
}
