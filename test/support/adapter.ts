import { afterAll, afterEach } from "vitest";
import { closeGpu, openGpu, settle, type Gpu } from "../../src/gpu/device.ts";
import { findAdapter } from "../../src/node/adapter.ts";

let opened: Promise<Gpu> | undefined;

/** The device that this file's GPU tests share, on the adapter that W2SD_ADAPTER names.
 *  @throws {AdapterError} there is none: a test that needs a device fails rather than pass without one */
export function testGpu(): Promise<Gpu> {
  opened ??= findAdapter().then(({ gpu }) => openGpu({ gpu }));
  return opened;
}

export async function closeTestGpu(): Promise<void> {
  if (opened) closeGpu(await opened);
  opened = undefined;
}

// Whatever a test left wrong on the device (a validation error that no scope caught, memory, a lost device) fails that test.
afterEach(async () => {
  if (!opened) return;
  const gpu = await opened;
  try {
    await settle(gpu);
  } finally {
    gpu.failures.length = 0;
  }
});

afterAll(closeTestGpu);
