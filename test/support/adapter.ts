import { create, globals } from "webgpu";
import { closeGpu, openGpu, type Gpu } from "../../src/gpu/device.ts";

Object.assign(globalThis, globals);
const instance = create([]);
let opened: Promise<Gpu> | undefined;

/** The device that this file's GPU tests share. */
export function testGpu(): Promise<Gpu> {
  opened ??= openGpu({ gpu: instance });
  return opened;
}

export async function closeTestGpu(): Promise<void> {
  if (opened) closeGpu(await opened);
  opened = undefined;
}
