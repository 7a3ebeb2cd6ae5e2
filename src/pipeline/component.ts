import { checkAborted, FileError, UsageError } from "../errors.ts";
import { destroyBuffer, writeBuffer, type BufferRange } from "../gpu/buffers.ts";
import { settle } from "../gpu/device.ts";
import { readBuffer, submit } from "../gpu/program.ts";
import { createScratch, instantiate } from "../graph/execute.ts";
import type { GraphBuilder } from "../graph/graph.ts";
import { elementCount, showShape, type Shape, type TensorSpec } from "../tensor.ts";
import type { Checkpoint } from "../weights/checkpoint.ts";
import { fromFloat32, toFloat32 } from "../weights/convert.ts";
import { toNchw, toNhwc } from "./layout.ts";
import { loadText, loadUnet, loadVae, planOf, type LoadContext } from "./model.ts";
import type { LoadedWeights } from "../graph/load.ts";

export type ComponentName = "unet" | "text_encoder" | "vae_encoder" | "vae_decoder";

/** A tensor on the host under diffusers' conventions: NCHW, f32. Ids are floats too. */
export interface HostTensor {
  readonly shape: Shape;
  readonly data: Float32Array;
}

export interface ComponentRequest {
  readonly component: ComponentName;
  /** By diffusers' argument names: `sample`, `timestep`, `encoder_hidden_states`; `input_ids`; `latents`; `image`. */
  readonly inputs: ReadonlyMap<string, HostTensor>;
  /** Also return what the modules inside produced, under diffusers' module names, in execution order. */
  readonly marks?: boolean;
  readonly clipSkip?: number;
}

/** Runs one network once on given tensors, to compare it with another engine.
 *  @returns `output` (and `moments` of the VAE encoder), then the marks; NCHW
 *  @throws {FileError} an input is missing or has the wrong rank   @throws {UsageError} a batch with different timesteps */
export async function runComponent(
  context: LoadContext,
  checkpoint: Checkpoint,
  request: ComponentRequest,
): Promise<Map<string, HostTensor>> {
  const { gpu } = context;
  const { graph, weights, feed } = await open(context, checkpoint, request);
  try {
    const plan = planOf(context, graph, request.marks);
    for (const [name, { shape }] of plan.inputs) checkFeed(name, shape, feed.get(name));
    const scratch = createScratch(gpu, [plan]);
    try {
      const onPipeline = () => checkAborted(context.signal, `compiling the ${request.component}`);
      const executable = await instantiate(gpu, plan, { weights: weights.ranges, scratch, onPipeline });
      try {
        for (const [name, range] of executable.inputs) write(context, range, plan.inputs.get(name)!, feed.get(name)!);
        submit(gpu, [executable.once, executable.step]);
        const results = new Map<string, HostTensor>();
        for (const [name, range] of executable.outputs)
          results.set(name, await read(context, range, plan.outputs.get(name)!.spec));
        return results;
      } finally {
        await settle(gpu).catch(() => undefined);
        executable.dispose();
      }
    } finally {
      for (const buffer of scratch) destroyBuffer(gpu, buffer);
    }
  } finally {
    weights.dispose();
  }
}

interface Opened {
  readonly graph: GraphBuilder;
  readonly weights: LoadedWeights;
  /** By graph input. */
  readonly feed: ReadonlyMap<string, Float32Array | Uint32Array>;
}

async function open(
  context: LoadContext,
  checkpoint: Checkpoint,
  { component, inputs, clipSkip }: ComponentRequest,
): Promise<Opened> {
  const take = (name: string, rank: number): HostTensor => {
    const found = inputs.get(name);
    if (!found)
      throw new FileError(
        `the input file has no tensor '${name}'`,
        `it has ${[...inputs.keys()].join(", ") || "none"}`,
      );
    if (found.shape.length !== rank)
      throw new FileError(
        `input '${name}' ${showShape(found.shape)} has ${found.shape.length} dimensions, wanted ${rank}`,
      );
    return found;
  };
  switch (component) {
    case "unet": {
      const sample = take("sample", 4);
      const states = take("encoder_hidden_states", 3);
      const [batch = 1, channels, height = 1, width = 1] = sample.shape;
      const timestep = inputs.get("timestep")?.data ?? take("timestep", 1).data;
      if (timestep.some((t) => t !== timestep[0]))
        throw new UsageError(`a batch with different timesteps: ${[...timestep].join(", ")}`, "run them one by one");
      const part = await loadUnet(context, checkpoint);
      const { inChannels, crossAttentionDim } = part.config;
      const fits = channels === inChannels && states.shape[0] === batch && states.shape[2] === crossAttentionDim;
      if (!fits) {
        part.weights.dispose();
        throw new FileError(
          `sample ${showShape(sample.shape)} and encoder_hidden_states ${showShape(states.shape)} do not fit ${inChannels} channels and width ${crossAttentionDim}`,
        );
      }
      const feed = new Map<string, Float32Array | Uint32Array>([
        ["latents", toNhwc(sample.data, sample.shape)],
        ["context", states.data],
        ["timesteps", Float32Array.of(timestep[0] ?? 0)],
        ["state", Uint32Array.of(0)],
      ]);
      const graph = guarded(part.weights, () =>
        part.graph({ batch, branches: 1, height, width, timesteps: 1, tokens: states.shape[1]! }),
      );
      return { graph, weights: part.weights, feed };
    }
    case "text_encoder": {
      const ids = take("input_ids", 2);
      const [batch = 1, tokens = 1] = ids.shape;
      const part = await loadText(context, checkpoint);
      const feed = new Map([
        ["ids", Uint32Array.from(ids.data)],
        ["positions", Uint32Array.from({ length: tokens }, (_, i) => i)],
      ]);
      return {
        graph: guarded(part.weights, () => part.graph({ batch, tokens, clipSkip: clipSkip ?? 0 })),
        weights: part.weights,
        feed,
      };
    }
    case "vae_encoder":
    case "vae_decoder": {
      const side = component === "vae_encoder" ? "encoder" : "decoder";
      const name = side === "encoder" ? "image" : "latents";
      const x = take(name, 4);
      const [batch = 1, , height = 1, width = 1] = x.shape;
      const part = await loadVae(context, checkpoint, side);
      const graph = guarded(part.weights, () => part.graph({ batch, height, width }));
      return { graph, weights: part.weights, feed: new Map([[name, toNhwc(x.data, x.shape)]]) };
    }
  }
}

/** Gives the weights back if the graph cannot be written. */
function guarded<T>(weights: LoadedWeights, make: () => T): T {
  try {
    return make();
  } catch (error) {
    weights.dispose();
    throw error;
  }
}

function checkFeed(name: string, shape: Shape, data: Float32Array | Uint32Array | undefined): void {
  if (data?.length !== elementCount(shape)) {
    throw new FileError(
      `input '${name}' has ${data?.length ?? 0} elements, the model wants ${elementCount(shape)}, ${showShape(shape)} (channels last)`,
    );
  }
}

function write({ gpu }: LoadContext, range: BufferRange, spec: TensorSpec, data: Float32Array | Uint32Array): void {
  const bytes =
    data instanceof Float32Array && spec.dtype === "f16"
      ? fromFloat32(data, "F16")
      : new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  writeBuffer(gpu, range.buffer, range.offset, bytes);
}

async function read({ gpu }: LoadContext, range: BufferRange, { shape, dtype }: TensorSpec): Promise<HostTensor> {
  const bytes = await readBuffer(gpu, range);
  const count = elementCount(shape);
  const data = toFloat32(bytes.subarray(0, count * (dtype === "f16" ? 2 : 4)), dtype === "f16" ? "F16" : "F32");
  if (shape.length !== 4) return { shape, data };
  const [n = 1, h = 1, w = 1, c = 1] = shape;
  return { shape: [n, c, h, w], data: toNchw(data, shape) };
}
