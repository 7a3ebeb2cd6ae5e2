import { closeGpu, openGpu, type OpenGpuOptions } from "./gpu/device.ts";
import { createPipeline, type Pipeline, type PipelineOptions } from "./pipeline/pipeline.ts";
import { openCheckpoint, type Checkpoint, type OpenOptions } from "./weights/checkpoint.ts";
import { hubUrl, urlFolder, type Folder } from "./weights/folder.ts";
import { blobSource, type ByteSource } from "./weights/source.ts";
import { urlSource } from "./weights/url-source.ts";

/** Where a checkpoint is: the address of a diffusers folder or of one `.safetensors` file, a hub id (`org/name@revision`), a picked file, or anything that reads
 *  bytes by range. */
export type Location = string | Blob | Folder | ByteSource;

export interface LoadOptions extends Omit<PipelineOptions, "gpu" | "model" | "weak"> {
  /** The (strong) model. */
  readonly model: Location;
  /** The weak model of a pair. */
  readonly weak?: Location | undefined;
  /** How to open the checkpoints: variant, EMA, configs for odd single files. */
  readonly open?: OpenOptions | undefined;
  /** Which device. By default one is opened, and closed by `dispose`; a device passed in stays the caller's. */
  readonly device?: OpenGpuOptions | undefined;
}

/** How a platform turns a string into a checkpoint's bytes. */
export type Resolve = (location: string) => Promise<Folder | ByteSource>;

/** Opens a device and a checkpoint, or a pair of them, and puts both on the GPU.
 *
 *      const pipeline = await load({ model: "stable-diffusion-v1-5/stable-diffusion-v1-5" });
 *      const { picture } = await pipeline.generate({ prompt: "a photo of a cat" });
 *
 *  @throws {AdapterError} no WebGPU   @throws {FileError} not a checkpoint that this engine runs   @throws {LimitError} the device is too small */
export async function loadWith(resolve: Resolve, options: LoadOptions): Promise<Pipeline> {
  const { model, weak, open: openOptions, device, ...rest } = options;
  const open = async (location: Location): Promise<Checkpoint> => {
    const source =
      typeof location === "string"
        ? await resolve(location)
        : location instanceof Blob
          ? blobSource(location)
          : location;
    return openCheckpoint(source, { signal: options.signal, ...openOptions } as OpenOptions);
  };
  const [main, second] = [await open(model), weak === undefined ? undefined : await open(weak)];
  const gpu = await openGpu(device);
  try {
    const pipeline = await createPipeline({ ...rest, gpu, model: main, weak: second });
    return {
      ...pipeline,
      dispose() {
        pipeline.dispose();
        closeGpu(gpu);
      },
    };
  } catch (error) {
    closeGpu(gpu);
    throw error;
  }
}

/** A string as browsers understand it: an address, or a hub id. */
export async function resolveUrl(location: string): Promise<Folder | ByteSource> {
  const hubId = /^([\w.-]+\/[\w.-]+)(?:@([\w./-]+))?$/.exec(location);
  if (hubId && !location.startsWith(".")) return urlFolder(hubUrl(hubId[1]!, hubId[2]));
  const url = new URL(location, globalThis.location?.href);
  return url.pathname.endsWith(".safetensors") ? urlSource(url) : urlFolder(url);
}
