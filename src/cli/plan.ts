import { Command, Option } from "commander";
import { fuse, passes } from "../graph/fuse/index.ts";
import { finish, type ActivationDtype, type GraphBuilder } from "../graph/graph.ts";
import { plan } from "../graph/plan.ts";
import { printPlan } from "../graph/print.ts";
import { clipText, clipTextConfig } from "../models/clip-text.ts";
import { unet } from "../models/unet.ts";
import { unetConfig } from "../models/unet-config.ts";
import { vaeDecoder, vaeConfig } from "../models/vae.ts";
import { needComponent, type Checkpoint } from "../weights/checkpoint.ts";
import { openModel } from "./open-model.ts";
import * as options from "./options.ts";
import type { Terminal } from "./session.ts";

const parts = ["unet", "text_encoder", "vae_decoder"] as const;

export interface PlanOptions {
  model: string;
  component: (typeof parts)[number];
  latents: { width: number; height: number };
  branches: number;
  dtype: ActivationDtype;
  without: string[];
}

export function planCommand(terminal: Terminal): Command {
  const names = passes.map((p) => p.name).join(", ");
  return new Command("plan")
    .description("print what a network would run, dispatch by dispatch, at WebGPU's default limits; needs no adapter")
    .requiredOption("--model <path>", "a diffusers folder or one .safetensors file")
    .addOption(options.choice("--component <name>", "which part", parts).default("unet"))
    .addOption(
      new Option("--latents <WxH>", "size in latents")
        .argParser(options.size)
        .default({ width: 64, height: 64 }, "64x64"),
    )
    .addOption(
      new Option("--branches <n>", "guidance branches")
        .argParser(options.number({ integer: true, min: 1, max: 2 }))
        .default(2),
    )
    .addOption(options.choice("--dtype <type>", "of activations", ["f16", "f32"]).default("f16"))
    .option("--without <pass...>", `fusion passes to leave out: ${names}`, [])
    .action(async (parsed: PlanOptions) => {
      const model = await openModel(parsed.model, parsed.component === "vae_decoder" ? "vae" : parsed.component);
      try {
        terminal.print(printPlan(plan(fuse(finish(graphOf(model.checkpoint, parsed)), parsed.without))).trimEnd());
      } finally {
        await model.close();
      }
    });
}

function graphOf(checkpoint: Checkpoint, { component, latents, branches, dtype }: PlanOptions): GraphBuilder {
  const { width, height } = latents;
  const tokens = 77;
  const part = needComponent(checkpoint, component === "vae_decoder" ? "vae" : component);
  switch (component) {
    case "unet":
      return unet(unetConfig(part.config, component), part.tensors, dtype, {
        batch: 1,
        branches,
        height,
        width,
        timesteps: 50,
        tokens,
      });
    case "text_encoder":
      return clipText(clipTextConfig(part.config, component), part.tensors, dtype, { batch: branches, tokens });
    case "vae_decoder":
      return vaeDecoder(vaeConfig(part.config, component), part.tensors, dtype, { batch: 1, height, width });
  }
}
