import { FileError } from "../../errors.ts";
import { maxLayers, readConfig, type Config } from "../config.ts";
import { shapeList, type ExpectedTensors } from "./shapes.ts";

/** Tensors of a CLIP text encoder, in the names of the checkpoints of 2022: with `text_model.`.
 *  @throws {FileError} a config of another kind of model */
export function expectText(config: Config, file: string): ExpectedTensors {
  const read = readConfig(config, file);
  const kinds = read.names("architectures", ["CLIPTextModel"]);
  if (!kinds.some((kind) => ["CLIPTextModel", "CLIPTextModelWithProjection", "CLIPModel"].includes(kind))) {
    throw new FileError(
      `${file}: '${kinds.join(", ").slice(0, 80)}' is not supported, CLIPTextModel is`,
      "only text encoders of the CLIP kind are run",
    );
  }
  const width = read.count("hidden_size", 512);
  const inner = read.count("intermediate_size", 2048);
  const list = shapeList();
  list.table("text_model.embeddings.token_embedding", read.count("vocab_size", 49408), width);
  list.table("text_model.embeddings.position_embedding", read.count("max_position_embeddings", 77), width);
  for (let i = 0; i < read.count("num_hidden_layers", 12, maxLayers); i++) {
    const name = `text_model.encoder.layers.${i}`;
    list.norm(`${name}.layer_norm1`, width);
    for (const part of ["q_proj", "k_proj", "v_proj", "out_proj"])
      list.linear(`${name}.self_attn.${part}`, width, width);
    list.norm(`${name}.layer_norm2`, width);
    list.linear(`${name}.mlp.fc1`, inner, width);
    list.linear(`${name}.mlp.fc2`, width, inner);
  }
  list.norm("text_model.final_layer_norm", width);
  return list.shapes;
}
