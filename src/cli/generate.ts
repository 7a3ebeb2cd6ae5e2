import { resolve } from "node:path";
import { Command, Option } from "commander";
import { UsageError } from "../errors.ts";
import type { AdapterChoice } from "../node/adapter.ts";
import { checkWritable, writeFileAtomic } from "../node/output.ts";
import { encodePng, parametersText } from "../node/png.ts";
import type { DtypeChoice, GenerateReport, GenerateRequest } from "./engine.ts";
import * as options from "./options.ts";
import { withContext, type Terminal } from "./session.ts";

export interface GenerateOptions {
  model: string;
  weak?: string;
  prompt: string;
  negative: string;
  seed: number;
  steps: number;
  cfg: number;
  strongCfg: number;
  weakCfg?: number;
  weakPrompt?: string;
  lambda?: number;
  inversion: "exact" | "official";
  query: "published" | "aligned" | "cached";
  alpha: number;
  size?: { width: number; height: number };
  dtype: DtypeChoice;
  latents?: string;
  saveLatents?: string;
  out: string;
  adapter?: AdapterChoice;
  json?: boolean;
}

export function generateCommand(terminal: Terminal): Command {
  return new Command("generate")
    .description("make one picture from a prompt, by W2SD if a weak side is given, otherwise by plain DDIM")
    .requiredOption("--model <path>", "the (strong) checkpoint: a diffusers folder or one .safetensors file")
    .option("--weak <path>", "the weak checkpoint (default: the same model)")
    .requiredOption("--prompt <text>", "what the picture shows")
    .option("--negative <text>", "what it does not show", "")
    .addOption(
      new Option("--seed <n>", "seed of the noise, as torch's CPU generator takes it")
        .argParser(options.seed)
        .default(1),
    )
    .addOption(options.stepsOption())
    .addOption(new Option("--cfg <n>", "guidance scale of the ordinary steps").argParser(options.number()).default(5.5))
    .addOption(
      new Option("--strong-cfg <n>", "guidance scale of the strong leg").argParser(options.number()).default(1),
    )
    .addOption(new Option("--weak-cfg <n>", "guidance scale of the weak leg (default: 1)").argParser(options.number()))
    .option("--weak-prompt <text>", "prompt of the weak leg (default: the same)")
    .addOption(options.lambdaOption())
    .addOption(options.inversionOption())
    .addOption(options.queryOption())
    .addOption(options.alphaOption())
    .addOption(new Option("--size <WxH>", "pixels (default: the model's own size)").argParser(options.size))
    .addOption(options.choice("--dtype <type>", "what to compute in", ["f16", "f32", "auto"]).default("auto"))
    .option("--latents <file>", "start from `latents` [1, 4, h, w] f32 in this .safetensors file instead of the seed")
    .option("--save-latents <file>", "also write the final latents to this .safetensors file")
    .requiredOption("--out <file>", "the PNG to write")
    .addOption(options.adapterOption())
    .addOption(options.jsonOption())
    .action((parsed: GenerateOptions) => generate(parsed, terminal));
}

/** Makes the picture, writes it, and prints its path or the report. */
export async function generate(parsed: GenerateOptions, terminal: Terminal): Promise<void> {
  const request = generateRequest(parsed);
  await checkWritable(parsed.out);
  if (parsed.saveLatents !== undefined) {
    if (resolve(parsed.saveLatents) === resolve(parsed.out))
      throw new UsageError(`--out and --save-latents both name '${parsed.out}'`, "give each a file of its own");
    await checkWritable(parsed.saveLatents);
  }
  await withContext(terminal, parsed.adapter, async (engine, context) => {
    const { report, image, latents } = await engine.generate(request, context);
    const png = await encodePng(image, pngText(request, report, image));
    if (parsed.saveLatents !== undefined && latents) await writeFileAtomic(parsed.saveLatents, latents);
    await writeFileAtomic(parsed.out, png);
    terminal.print(parsed.json ? JSON.stringify({ ...report, images: [parsed.out] }) : parsed.out);
  });
}

/** What the options mean.   @throws {UsageError} they contradict each other */
export function generateRequest(o: GenerateOptions): GenerateRequest {
  const reflects = o.weak !== undefined || o.weakCfg !== undefined || o.weakPrompt !== undefined;
  if (o.lambda !== undefined && o.lambda >= o.steps) {
    throw new UsageError(
      `--lambda ${o.lambda} reflects more steps than --steps ${o.steps} has besides the last`,
      `the last step cannot be reflected; at most --lambda ${o.steps - 1}`,
    );
  }
  return {
    model: o.model,
    prompt: o.prompt,
    negative: o.negative,
    seed: o.seed,
    steps: o.steps,
    cfg: o.cfg,
    size: o.size,
    dtype: o.dtype,
    latents: o.latents,
    wantsLatents: o.saveLatents !== undefined,
    reflection: reflects
      ? {
          weak: o.weak,
          weakCfg: o.weakCfg ?? 1,
          weakPrompt: o.weakPrompt,
          strongCfg: o.strongCfg,
          lambda: o.lambda,
          inversion: o.inversion,
          query: o.query,
          alpha: o.alpha,
        }
      : undefined,
  };
}

/** The record that other tools read, and the exact one. */
function pngText(request: GenerateRequest, report: GenerateReport, image: { width: number; height: number }) {
  const r = request.reflection;
  const pairs: [string, string | number][] = [
    ["Steps", request.steps],
    ["Sampler", "DDIM"],
    ["CFG scale", request.cfg],
    ["Seed", request.seed],
    ["Size", `${image.width}x${image.height}`],
    ["RNG", "CPU"],
  ];
  if (r) {
    pairs.push(["W2SD lambda", r.lambda ?? request.steps - 1], ["W2SD strong CFG", r.strongCfg]);
    pairs.push(["W2SD weak CFG", r.weakCfg], ["W2SD inversion", r.inversion], ["W2SD query", r.query]);
    pairs.push(["W2SD alpha", r.alpha]);
  }
  const { nfe, dtype } = report;
  return {
    parameters: parametersText(request.prompt, request.negative, pairs),
    w2sd: JSON.stringify({ ...request, wantsLatents: undefined, nfe, dtype }),
  };
}
