import { FileError, UsageError } from "../errors.ts";
import { apply, createGraph, input, mark, reshape, type ActivationDtype, type GraphBuilder, type Value } from "../graph/graph.ts";
import { add } from "../kernels/add.ts";
import { attention } from "../kernels/attention.ts";
import { embedding } from "../kernels/embedding.ts";
import type { Activation } from "../kernels/kernel.ts";
import { activation, layerNorm, linear, sum, weight, type ModelBuilder, type TensorInfo } from "./builder.ts";
import { readConfig, type Config } from "../weights/config.ts";

/** CLIPTextModel's config. */
export interface ClipTextConfig {
  readonly hiddenSize: number;
  readonly layers: number;
  readonly heads: number;
  readonly act: Activation;
  readonly eps: number;
}

const activations = { quick_gelu: "quickGelu", gelu: "gelu" } as const satisfies Record<string, Activation>;

/** Reads text_encoder/config.json. @throws {FileError} an unknown activation or a missing field */
export function clipTextConfig(config: Config, file: string): ClipTextConfig {
  const c = readConfig(config, file);
  return {
    hiddenSize: c.count("hidden_size", 512),
    layers: c.count("num_hidden_layers", 12),
    heads: c.count("num_attention_heads", 8),
    act: activations[c.choice("hidden_act", ["quick_gelu", "gelu"], "quick_gelu")],
    eps: c.number("layer_norm_eps", 1e-5),
  };
}

/** CLIP's text encoder as a graph: token ids → one vector per token.
 *
 *  Inputs: `ids` u32 [batch·tokens]. Output: `output` [batch, tokens, D], the last hidden state after the final norm; with `clipSkip` k > 0 the k-th before
 *  the last, also normed.
 *  @throws {UsageError} clipSkip reaches past the first layer
 *  @see Radford et al. 2021, arXiv:2103.00020 */
export function clipText(
  config: ClipTextConfig,
  tensors: ReadonlyMap<string, TensorInfo>,
  dtype: ActivationDtype,
  shape: { batch: number; tokens: number; clipSkip?: number; splitTableRows?: number },
  file = "text_encoder",
): GraphBuilder {
  const g = createGraph(file);
  const m: ModelBuilder = { g, file, tensors, dtype };
  const { batch, tokens } = shape;
  const skip = shape.clipSkip ?? 0;
  if (!(Number.isInteger(skip) && skip >= 0 && skip <= config.layers))
    throw new UsageError(`clip skip ${skip}: ${file} has ${config.layers} layers`, `choose 0 to ${config.layers}`);
  const ids = input("ids", { shape: [batch * tokens], dtype: "u32" }, "once");
  const [table, tableHigh] = tokenTable(m, shape.splitTableRows);
  const rows = apply(g, embedding, { ids, table, tableHigh }, { dtype }, "text_model.embeddings.token_embedding");
  let x = apply(g, add, { a: reshape(rows, [batch, tokens, config.hiddenSize], "embeddings"), b: positions(m, tokens) }, {}, "text_model.embeddings");
  mark(g, "embeddings", x);
  for (let i = 0; i < config.layers - skip; i++) x = mark(g, `encoder.layers.${i}`, layer(m, config, x, `text_model.encoder.layers.${i}`));
  x = mark(g, "final_layer_norm", layerNorm(m, x, "text_model.final_layer_norm", config.eps));
  g.outputs.set("output", x);
  return g;
}

/** The token table, in two parts where it is larger than one binding may be. */
function tokenTable(m: ModelBuilder, splitRows?: number): [Value, Value | undefined] {
  const name = "text_model.embeddings.token_embedding.weight";
  const whole = weight(m, name, "table");
  const [rows = 0, width = 0] = whole.shape;
  if (splitRows === undefined || splitRows >= rows) return [whole, undefined];
  const part = (from: number, to: number): Value => ({ ...whole, shape: [to - from, width], storage: { kind: "weight", name, layout: "table", rows: [from, to] } });
  return [part(0, splitRows), part(splitRows, rows)];
}

/** The first `tokens` rows of the position table, in the activations' dtype. */
function positions(m: ModelBuilder, tokens: number): Value {
  const table = weight(m, "text_model.embeddings.position_embedding.weight", "table");
  const [rows = 0, width = 0] = table.shape;
  if (tokens > rows) throw new FileError(`${m.file}: ${tokens} tokens, but only ${rows} positions`);
  const ids = input("positions", { shape: [tokens], dtype: "u32" }, "once");
  return reshape(apply(m.g, embedding, { ids, table, tableHigh: undefined }, { dtype: m.dtype }, "text_model.embeddings.position_embedding"), [tokens, width], "positions");
}

function layer(m: ModelBuilder, { heads, act, eps }: ClipTextConfig, x: Value, name: string): Value {
  const normed = layerNorm(m, x, `${name}.layer_norm1`, eps);
  const [q, k, v] = ["q_proj", "k_proj", "v_proj"].map((p) => linear(m, normed, `${name}.self_attn.${p}`)) as [Value, Value, Value];
  const attended = apply(m.g, attention, { q, k, v }, { heads, causal: true }, `${name}.self_attn`);
  const y = sum(m, linear(m, attended, `${name}.self_attn.out_proj`), x, `${name}.self_attn`);
  const hidden = activation(m, linear(m, layerNorm(m, y, `${name}.layer_norm2`, eps), `${name}.mlp.fc1`), act, `${name}.mlp`);
  return sum(m, linear(m, hidden, `${name}.mlp.fc2`), y, `${name}.mlp`);
}
