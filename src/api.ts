// What every platform's entry exports.
export * from "./errors.ts";
export type { LoadOptions, Location } from "./load.ts";
export { closeGpu, openGpu, type AdapterSummary, type Gpu, type OpenGpuOptions } from "./gpu/device.ts";
export { createPipeline, type Pipeline, type PipelineModel, type PipelineOptions } from "./pipeline/pipeline.ts";
export type { GenerateResult } from "./pipeline/generate.ts";
export type { GenerateRequest, LegRequest, ReflectionRequest } from "./pipeline/request.ts";
export type { Picture } from "./pipeline/picture.ts";
export { runComponent, type ComponentName, type ComponentRequest, type HostTensor } from "./pipeline/component.ts";
export { runToy, type ToyRequest } from "./pipeline/toy.ts";
export { mixture, quantileStarts, twoPeaks, type Mixture } from "./w2sd/toy.ts";
export type { StepProgress } from "./w2sd/sample.ts";
export { createWeightPool } from "./graph/weight-pool.ts";
export { passes } from "./graph/fuse/index.ts";
export { openCheckpoint, type Checkpoint, type OpenOptions } from "./weights/checkpoint.ts";
export { filesFolder, hubUrl, mapFolder, urlFolder, type Folder } from "./weights/folder.ts";
export { inspect, showInspection, type Inspection } from "./weights/inspect.ts";
export { blobSource, bytesSource, type ByteSource } from "./weights/source.ts";
export { urlSource } from "./weights/url-source.ts";
