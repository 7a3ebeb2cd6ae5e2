import { ShapeError, UsageError } from "../errors.ts";
import { ceilDiv, sameShape, showSpec, type TensorSpec } from "../tensor.ts";
import { launch } from "./contract.ts";
import { conv2d as contract, conv2dAny as anyContract } from "./contracts.gen.ts";
import { activationCode, weightAccess, wgslType, type Activation, type Kernel } from "./kernel.ts";
import { checkEpilogue, gemmLaunch } from "./matmul.ts";
import { lanesFor, rowsFor, tileGrid } from "./tile.ts";
import { weightScalarAccess } from "./weight-scalar.ts";

type Conv2dInputs = {
  x: TensorSpec;
  weight: TensorSpec;
  bias?: TensorSpec | undefined;
  addend?: TensorSpec | undefined;
  residual?: TensorSpec | undefined;
};

interface Conv2dAttributes {
  /** Default 1. */
  stride?: 1 | 2;
  /** Zeros around x: the same on all sides, or [top, left, bottom, right]. Default 0. */
  padding?: number | readonly [number, number, number, number];
  activation?: Activation;
}

/** Convolution with epilogue: `y = act(conv(x, W) + bias + addend) + residual`, x [N, H, W, C], W [KH, KW, C, O], y [N, OH, OW, O], sums in f32.
 *  bias is f32[O]; addend [1 or N, O] in x's dtype goes to every pixel of its picture; residual is like y.
 *  @throws {ShapeError} channels, bias, addend or residual do not fit, or the padded map is smaller than the kernel */
export const conv2d: Kernel<Conv2dInputs, Conv2dAttributes> = {
  name: "conv2d",
  output(inputs, attributes) {
    const { x, weight, addend } = inputs;
    if (x.shape.length !== 4 || weight.shape.length !== 4) {
      throw new ShapeError(`x ${showSpec(x)} should be [N, H, W, C] and weight ${showSpec(weight)} [KH, KW, C, O]`);
    }
    const { N, C, O, OH, OW } = sizes(x, weight, attributes);
    if (weight.shape[2] !== C) {
      throw new ShapeError(`weight ${showSpec(weight)} wants ${weight.shape[2]} input channels, x is ${showSpec(x)}`);
    }
    if (OH < 1 || OW < 1) {
      throw new ShapeError(
        `x ${showSpec(x)} with its padding is smaller than the kernel of weight ${showSpec(weight)}`,
      );
    }
    const y = { shape: [N, OH, OW, O], dtype: x.dtype };
    if (addend && (addend.dtype !== x.dtype || !(sameShape(addend.shape, [1, O]) || sameShape(addend.shape, [N, O])))) {
      throw new ShapeError(`addend ${showSpec(addend)} should be ${x.dtype}[1 or ${N}, ${O}]`);
    }
    checkEpilogue(inputs, y, O);
    return y;
  },
  launch(inputs, _y, attributes) {
    const { x, weight, bias, addend, residual } = inputs;
    const { N, H, W, C, KH, KW, O, OH, OW, stride, top, left } = sizes(x, weight, attributes);
    const pointwise = KH === 1 && KW === 1 && stride === 1 && OH === H && OW === W;
    if (pointwise && !addend) return gemmLaunch({ M: N * H * W, K: C, N: O, batches: 1 }, inputs, attributes);

    const wide = C % 4 === 0 && O % 4 === 0;
    const epilogue = {
      ACT: activationCode(attributes.activation),
      HAS_BIAS: bias !== undefined,
      HAS_ADDEND: addend !== undefined,
      HAS_RESIDUAL: residual !== undefined,
    };
    const ROWS = rowsFor(OW, (N * OH * OW * O) / 4, wide ? 8 : 4);
    const tilesPerLine = ceilDiv(OW, ROWS);
    const tiles = N * OH * tilesPerLine;
    const params = {
      ...{ batch: N, inHeight: H, inWidth: W, kernelHeight: KH, kernelWidth: KW, outHeight: OH, outWidth: OW },
      ...{ stride, padTop: top, padLeft: left, tilesPerLine },
    };
    const perPicture = addend !== undefined && addend.shape[0] === N;
    if (wide) {
      const lanes = lanesFor(O / 4, tiles);
      const workgroups = tileGrid(ceilDiv(O / 4, lanes.WX), ceilDiv(tiles, lanes.WY));
      const { wvec4, library } = weightAccess(x, weight);
      return launch(contract, {
        params: {
          ...params,
          inChannels4: C / 4,
          outChannels4: O / 4,
          addendStride: perPicture ? O / 4 : 0,
          gridY: workgroups[1],
        },
        overrides: { ...lanes, ROWS, ...epilogue },
        alias: { elem: wgslType(x), wvec4 },
        libraries: { weight: library },
        workgroups,
      });
    }
    const workgroups = tileGrid(ceilDiv(O, 4), ceilDiv(tiles, 64));
    const { wscalar, library } = weightScalarAccess(x, weight);
    return launch(anyContract, {
      params: { ...params, inChannels: C, outChannels: O, addendStride: perPicture ? O : 0, gridY: workgroups[1] },
      overrides: { ROWS, ...epilogue },
      alias: { elem: wgslType(x), wscalar },
      libraries: { "weight-scalar": library },
      workgroups,
    });
  },
};

function sizes(x: TensorSpec, weight: TensorSpec, { stride = 1, padding = 0 }: Conv2dAttributes) {
  const [N, H, W, C] = x.shape as [number, number, number, number];
  const [KH, KW, , O] = weight.shape as [number, number, number, number];
  const [top, left, bottom, right] =
    typeof padding === "number" ? ([padding, padding, padding, padding] as const) : padding;
  if (Math.min(top, left, bottom, right) < 0)
    throw new UsageError(`padding ${top}, ${left}, ${bottom}, ${right} is negative`);
  const OH = Math.floor((H + top + bottom - KH) / stride) + 1;
  const OW = Math.floor((W + left + right - KW) / stride) + 1;
  return { N, H, W, C, KH, KW, O, OH, OW, stride, top, left };
}
