import type { Shape } from "../../tensor.ts";

/** Names and shapes of the tensors that a config calls for, as PyTorch stores them: linear [out, in], conv OIHW. */
export type ExpectedTensors = Map<string, Shape>;

/** Collects what layers hold, by the layer's name. */
export function shapeList() {
  const shapes: ExpectedTensors = new Map();
  const withBias = (name: string, weight: Shape, bias: boolean): void => {
    shapes.set(`${name}.weight`, weight);
    if (bias) shapes.set(`${name}.bias`, [weight[0]!]);
  };
  return {
    shapes,
    norm: (name: string, channels: number): void => withBias(name, [channels], true),
    linear: (name: string, out: number, into: number, bias = true): void => withBias(name, [out, into], bias),
    conv: (name: string, out: number, into: number, size: number, bias = true): void =>
      withBias(name, [out, into, size, size], bias),
    table: (name: string, rows: number, width: number): void => withBias(name, [rows, width], false),
  };
}

export type ShapeList = ReturnType<typeof shapeList>;

/** norm, conv, (time embedding,) norm, conv, and a 1×1 shortcut where the width changes. */
export function resnet(list: ShapeList, name: string, into: number, out: number, timeWidth?: number): void {
  list.norm(`${name}.norm1`, into);
  list.conv(`${name}.conv1`, out, into, 3);
  if (timeWidth !== undefined) list.linear(`${name}.time_emb_proj`, out, timeWidth);
  list.norm(`${name}.norm2`, out);
  list.conv(`${name}.conv2`, out, out, 3);
  if (into !== out) list.conv(`${name}.conv_shortcut`, out, into, 1);
}
