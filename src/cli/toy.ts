import { Command, InvalidArgumentError, Option } from "commander";
import { UsageError } from "../errors.ts";
import type { AdapterChoice } from "../node/adapter.ts";
import { toyMethods, type GaussianRequest, type GmmRequest } from "./engine.ts";
import * as options from "./options.ts";
import { withContext, type Terminal } from "./session.ts";

interface Common {
  steps: number;
  lambda?: number;
  inversion: "exact" | "official";
  query: "published" | "aligned" | "cached";
  alpha: number;
  method: (typeof toyMethods)[number];
  w: number;
  adapter?: AdapterChoice;
  json?: boolean;
}

export interface GmmOptions extends Common {
  peaks: [left: number, right: number];
  sd: number;
  strong: number;
  weak: number;
  samples: number;
}

export interface GaussianOptions extends Common {
  strongMean: number;
  weakMean: number;
  sd: number;
  x: number[];
}

export function toyCommand(terminal: Terminal): Command {
  return new Command("toy")
    .description("run the sampler on distributions whose answers are known, with the same loop and kernels")
    .addCommand(gmmCommand(terminal))
    .addCommand(gaussianCommand(terminal));
}

function gmmCommand(terminal: Terminal): Command {
  const share = options.number({ min: 0, max: 1 });
  const command = new Command("gmm")
    .description("two peaks of equal width in one dimension; prints the left share and the mean of either half")
    .addOption(new Option("--peaks <left,right>", "where the peaks are").argParser(twoPeaks).default([-4, 4], "-4,4"))
    .addOption(
      new Option("--sd <n>", "standard deviation of either").argParser(options.number({ above: 0 })).default(0.8),
    )
    .addOption(new Option("--strong <n>", "weight of the left peak in the strong model").argParser(share).default(0.3))
    .addOption(new Option("--weak <n>", "weight of the left peak in the weak model").argParser(share).default(0.1))
    .addOption(
      new Option("--samples <n>", "how many, from the normal quantiles (k + 1/2) / n")
        .argParser(options.number({ integer: true, min: 1, max: 10_000_000 }))
        .default(4001),
    );
  return withCommon(command).action((parsed: GmmOptions) => toyGmm(parsed, terminal));
}

function gaussianCommand(terminal: Terminal): Command {
  const command = new Command("gaussian")
    .description("one Gaussian; prints where each starting point ends")
    .addOption(new Option("--strong-mean <n>", "mean of the strong model").argParser(options.number()).default(1))
    .addOption(new Option("--weak-mean <n>", "mean of the weak model").argParser(options.number()).default(0))
    .addOption(
      new Option("--sd <n>", "standard deviation of both").argParser(options.number({ above: 0 })).default(0.5),
    )
    .addOption(
      new Option("--x <list>", "starting points, separated by commas")
        .argParser(options.numbers())
        .makeOptionMandatory(),
    );
  return withCommon(command).action((parsed: GaussianOptions) => toyGaussian(parsed, terminal));
}

function withCommon(command: Command): Command {
  return command
    .addOption(options.stepsOption())
    .addOption(options.lambdaOption())
    .addOption(options.inversionOption())
    .addOption(options.queryOption())
    .addOption(options.alphaOption())
    .addOption(options.choice("--method <name>", "how to sample", toyMethods).default("w2sd"))
    .addOption(new Option("--w <n>", "guidance weight of autoguidance").argParser(options.number()).default(2))
    .addOption(options.adapterOption())
    .addOption(options.jsonOption());
}

function twoPeaks(text: string): [number, number] {
  const [left, right, ...rest] = options.numbers()(text);
  if (left === undefined || right === undefined || rest.length > 0 || left >= right) {
    throw new InvalidArgumentError("It must be two numbers, the smaller first, as in -4,4.");
  }
  return [left, right];
}

/** @throws {UsageError} λ does not fit the steps */
function common(o: Common) {
  if (o.lambda !== undefined && o.lambda >= o.steps) {
    throw new UsageError(
      `--lambda ${o.lambda} reflects more steps than --steps ${o.steps} has besides the last`,
      `the last step cannot be reflected; at most --lambda ${o.steps - 1}`,
    );
  }
  const { steps, lambda, inversion, query, alpha, method, w } = o;
  return { steps, lambda, inversion, query, alpha, method, w };
}

export async function toyGmm(parsed: GmmOptions, terminal: Terminal): Promise<void> {
  const { peaks, sd, strong, weak, samples } = parsed;
  const request: GmmRequest = { ...common(parsed), peaks, sd, strong, weak, samples };
  await withContext(terminal, parsed.adapter, async (engine, context) => {
    const { left, meanLeft, meanRight } = await engine.toyGmm(request, context);
    const line = `left ${left.toFixed(4)}, mean left ${meanLeft.toFixed(3)}, mean right ${meanRight.toFixed(3)}`;
    terminal.print(parsed.json ? JSON.stringify({ left, meanLeft, meanRight }) : line);
  });
}

export async function toyGaussian(parsed: GaussianOptions, terminal: Terminal): Promise<void> {
  const { strongMean, weakMean, sd, x } = parsed;
  const request: GaussianRequest = { ...common(parsed), strongMean, weakMean, sd, x };
  await withContext(terminal, parsed.adapter, async (engine, context) => {
    const result = await engine.toyGaussian(request, context);
    const line = result.x.map((v) => v.toFixed(4)).join(" ");
    terminal.print(parsed.json ? JSON.stringify({ x: result.x }) : line);
  });
}
