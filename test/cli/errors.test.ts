import { afterEach, describe, expect, it, vi } from "vitest";
import { AbortError, DeviceError, LimitError, UsageError } from "../../src/errors.ts";
import { closeGpu, openGpu, type Gpu } from "../../src/gpu/device.ts";
import { openModel } from "../../src/cli/open-model.ts";
import { findAdapter } from "../../src/node/adapter.ts";
import { createPipeline, type Pipeline } from "../../src/pipeline/pipeline.ts";
import type { GenerateRequest } from "../../src/pipeline/request.ts";
import { strong, weak, patience } from "./command.ts";

vi.setConfig({ testTimeout: patience, hookTimeout: patience });

// What goes wrong in the middle, on a device that belongs to the caller: a typed error, and every byte comes back.

interface Opened {
  readonly device: GPUDevice;
  readonly gpu: Gpu;
  load(onUpload?: () => void): Promise<Pipeline>;
}

const closing: (() => void | Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

async function open(): Promise<Opened> {
  const found = await findAdapter();
  const device = await (await found.gpu.requestAdapter())!.requestDevice();
  const gpu = await openGpu({ device });
  const models = [await openModel(strong), await openModel(weak)] as const;
  closing.push(async () => {
    for (const model of models) await model.close();
    closeGpu(gpu);
    device.destroy();
  });
  const [model, other] = [models[0].checkpoint, models[1].checkpoint];
  return { device, gpu, load: (onUpload) => createPipeline({ gpu, model, weak: other, dtype: "f32", onUpload }) };
}

const live = ({ ledger }: Gpu) => [...ledger.live].map((b) => b.label).sort();
const request: GenerateRequest = { prompt: "a cat", steps: 40, width: 64, height: 64, reflection: {} };

describe("on a device of the caller's", () => {
  it("an abort while compiling, one while sampling, an impossible request, a device destroyed under the run", async () => {
    const { device, gpu, load } = await open();
    const pipeline = await load();
    const weights = live(gpu);
    const expectClean = () => expect(live(gpu)).toEqual(weights);
    expect(gpu.ledger.bytes).toBe(pipeline.weightBytes());

    const compiling = new AbortController();
    const onPipeline = (ready: number) => ready === 100 && compiling.abort();
    await expect(pipeline.generate({ ...request, onPipeline, signal: compiling.signal })).rejects.toThrow(AbortError);
    expectClean();

    const sampling = new AbortController();
    const steps: number[] = [];
    const onStep = ({ step }: { step: number }) => {
      steps.push(step);
      if (step === 2) sampling.abort();
    };
    const stopped = pipeline.generate({ ...request, onStep, signal: sampling.signal });
    await expect(stopped).rejects.toThrow(/sampling was stopped after step [34] of 40/);
    await expect(stopped).rejects.toThrow(AbortError);
    expect(steps.length).toBeLessThanOrEqual(4);
    expectClean();

    await expect(pipeline.generate({ ...request, signal: sampling.signal })).rejects.toThrow(AbortError);
    await expect(pipeline.generate({ ...request, width: 65 })).rejects.toThrow(UsageError);
    await expect(pipeline.generate({ ...request, guidanceScale: NaN })).rejects.toThrow(UsageError);
    await expect(pipeline.generate({ ...request, width: 65536, height: 65536 })).rejects.toThrow(LimitError);
    await expect(pipeline.generate({ ...request, clipSkip: 99 })).rejects.toThrow(/clip skip 99/);
    expectClean();

    // None of it has harmed the engine.
    const { picture } = await pipeline.generate({ ...request, steps: 1 });
    expect(picture.data).toHaveLength(64 * 64 * 4);
    expectClean();

    const lost = pipeline.generate({ ...request, onStep: ({ step }) => step === 3 && device.destroy() });
    await expect(lost).rejects.toThrow(DeviceError);
    await expect(lost).rejects.toThrow(/the device '.+' was lost: .+\n {2}hint: .*open a new one/);
    expectClean();
    // From then on at once, and disposing still works.
    await expect(pipeline.generate(request)).rejects.toThrow(/was lost/);
    pipeline.dispose();
    expect(gpu.ledger).toMatchObject({ bytes: 0, live: new Set() });
  });

  it("a device destroyed while weights are loaded", async () => {
    const { device, gpu, load } = await open();
    let uploads = 0;
    const loading = load(() => ++uploads === 200 && device.destroy());
    await expect(loading).rejects.toThrow(/the device '.+' was lost/);
    await expect(loading).rejects.toThrow(DeviceError);
    expect(live(gpu)).toEqual([]);
  });
});
