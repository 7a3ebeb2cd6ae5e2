import { ShapeError } from "../errors.ts";
import { ceilDiv, elementCount, sameShape, showSpec, type TensorSpec } from "../tensor.ts";
import { launch, type Launch } from "./contract.ts";
import { matmul as contract, matmulAny as anyContract } from "./contracts.gen.ts";
import { activationCode, weightAccess, wgslType, type Activation, type Kernel } from "./kernel.ts";
import { lanesFor, rowsFor, tileGrid } from "./tile.ts";
import { weightScalarAccess } from "./weight-scalar.ts";

type MatmulInputs = {
  x: TensorSpec;
  weight: TensorSpec;
  bias?: TensorSpec | undefined;
  residual?: TensorSpec | undefined;
};

interface MatmulAttributes {
  activation?: Activation;
  /** W is stored [N, K]. */
  transposeB?: boolean;
}

/** Matrix product with epilogue: `y = act(x·W + bias) + residual`, x [..., M, K], y [..., M, N], sums in f32.
 *  W is [K, N] for all rows, or [..., K, N] with one matrix per batch; [N, K] with `transposeB`; f32 or f16 whatever x is. bias is f32[N].
 *  @throws {ShapeError} inner dimensions, batches, bias or residual do not fit */
export const matmul: Kernel<MatmulInputs, MatmulAttributes> = {
  name: "matmul",
  output(inputs, { transposeB = false }) {
    const { x, weight } = inputs;
    if (weight.shape.length < 2 || x.shape.length < Math.min(2, weight.shape.length - 1)) {
      throw new ShapeError(`weight ${showSpec(weight)} and x ${showSpec(x)} have too few dimensions`);
    }
    const { K, N } = matrixOf(weight, transposeB);
    if (x.shape.at(-1) !== K) throw new ShapeError(`weight ${showSpec(weight)} wants ${K} inputs, x is ${showSpec(x)}`);
    if (weight.shape.length > 2) {
      const [wanted, got] = [elementCount(weight.shape.slice(0, -2)), elementCount(x.shape.slice(0, -2))];
      if (wanted !== got) {
        throw new ShapeError(`weight ${showSpec(weight)} wants ${wanted} batches, x ${showSpec(x)} has ${got}`);
      }
    }
    const y = { shape: [...x.shape.slice(0, -1), N], dtype: x.dtype };
    checkEpilogue(inputs, y, N);
    return y;
  },
  launch(inputs, _y, attributes) {
    const { x, weight } = inputs;
    const { K, N } = matrixOf(weight, attributes.transposeB ?? false);
    const batches = weight.shape.length > 2 ? elementCount(weight.shape.slice(0, -2)) : 1;
    return gemmLaunch({ M: elementCount(x.shape) / K / batches, K, N, batches }, inputs, attributes);
  },
};

function matrixOf({ shape }: TensorSpec, transposeB: boolean): { K: number; N: number } {
  const [a, b] = shape.slice(-2) as [number, number];
  return transposeB ? { K: b, N: a } : { K: a, N: b };
}

/** @throws {ShapeError} bias is not f32[N], or residual not like y */
export function checkEpilogue(
  { bias, residual }: { bias?: TensorSpec | undefined; residual?: TensorSpec | undefined },
  y: TensorSpec,
  N: number,
): void {
  if (bias && (bias.dtype !== "f32" || !sameShape(bias.shape, [N]))) {
    throw new ShapeError(`bias ${showSpec(bias)} should be f32[${N}]`);
  }
  if (residual && (residual.dtype !== y.dtype || !sameShape(residual.shape, y.shape))) {
    throw new ShapeError(`residual ${showSpec(residual)} is not like y ${showSpec(y)}`);
  }
}

/** One dispatch of y = act(x·W + bias) + residual over `batches` products [M, K]·[K, N]; also a 1×1 convolution, whose pixels are the rows. */
export function gemmLaunch(
  { M, K, N, batches }: { M: number; K: number; N: number; batches: number },
  { x, weight, bias, residual }: MatmulInputs,
  { activation, transposeB = false }: MatmulAttributes,
): Launch {
  const epilogue = {
    ACT: activationCode(activation),
    HAS_BIAS: bias !== undefined,
    HAS_RESIDUAL: residual !== undefined,
    TRANSPOSE_B: transposeB,
  };
  const wide = K % 4 === 0 && N % 4 === 0;
  const columns = wide ? N / 4 : N;
  const ROWS = rowsFor(M, batches * M * columns, wide ? 8 : 4);
  const lanes = lanesFor(columns, ceilDiv(M, ROWS));
  const tilesPerBatch = ceilDiv(M, lanes.WY * ROWS);
  const workgroups = tileGrid(ceilDiv(columns, lanes.WX), tilesPerBatch * batches);
  const params = { rows: M, batches, tilesPerBatch, gridY: workgroups[1] };
  const overrides = { ...lanes, ROWS, ...epilogue };
  if (wide) {
    const { wvec4, library } = weightAccess(x, weight);
    return launch(contract, {
      params: { ...params, cols4: N / 4, inner4: K / 4 },
      overrides,
      alias: { elem: wgslType(x), wvec4 },
      libraries: { weight: library },
      workgroups,
    });
  }
  const { wscalar, library } = weightScalarAccess(x, weight);
  return launch(anyContract, {
    params: { ...params, cols: N, inner: K },
    overrides,
    alias: { elem: wgslType(x), wscalar },
    libraries: { "weight-scalar": library },
    workgroups,
  });
}
