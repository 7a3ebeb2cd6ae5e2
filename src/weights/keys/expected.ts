import type { ComponentName } from "../component.ts";
import type { Config } from "../config.ts";
import { expectText } from "./expect-text.ts";
import { expectUnet } from "./expect-unet.ts";
import { expectVae } from "./expect-vae.ts";
import type { ExpectedTensors } from "./shapes.ts";

/** Every tensor that a component's config calls for, by diffusers name, with its shape.
 *  @throws {FileError} a config of a model that is not run here, naming the field */
export function expectedTensors(component: ComponentName, config: Config, file: string): ExpectedTensors {
  return { unet: expectUnet, vae: expectVae, text_encoder: expectText }[component](config, file);
}
