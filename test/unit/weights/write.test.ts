import { describe, expect, test } from "vitest";
import { ShapeError, UsageError } from "../../../src/errors.ts";
import { dtypeBits, fileDtypes } from "../../../src/weights/dtype.ts";
import { encodeSafetensors, type TensorData } from "../../../src/weights/write.ts";
import { readBytes } from "./safetensors-files.ts";

const zeros = (name: string, dtype: TensorData["dtype"], shape: number[], bytes: number): TensorData => ({
  name,
  dtype,
  shape,
  data: new Uint8Array(bytes),
});

test("is the reference writer's file, byte for byte", () => {
  // Python: safetensors 0.8.0, save({"b": [1.5, -2.], "a": int64 [[1, 2, 3]], 'é\n"\\/': f16 1., "😀": f16 (0, 3),
  // "\uffee": f16 (1,), "\x01\x7f\u2028": f16 (1,)}, {"format": "pt"})
  const reference =
    "88010000000000007b225f5f6d657461646174615f5f223a7b22666f726d6174223a227074227d2c2261223a7b226474797065223a22493634222c227368617065223a5b312c335d2c22646174615f6f666673657473223a5b302c32345d7d2c2262223a7b226474797065223a22463332222c227368617065223a5b325d2c22646174615f6f666673657473223a5b32342c33325d7d2c225c75303030317fe280a8223a7b226474797065223a22463136222c227368617065223a5b315d2c22646174615f6f666673657473223a5b33322c33345d7d2c22c3a95c6e5c225c5c2f223a7b226474797065223a22463136222c227368617065223a5b5d2c22646174615f6f666673657473223a5b33342c33365d7d2c22efbfae223a7b226474797065223a22463136222c227368617065223a5b315d2c22646174615f6f666673657473223a5b33362c33385d7d2c22f09f9880223a7b226474797065223a22463136222c227368617065223a5b302c335d2c22646174615f6f666673657473223a5b33382c33385d7d7d2020202020200100000000000000020000000000000003000000000000000000c03f000000c00000003c0000";
  const file = encodeSafetensors(
    [
      { name: "b", dtype: "F32", shape: [2], data: new Uint8Array(Float32Array.of(1.5, -2).buffer) },
      { name: "a", dtype: "I64", shape: [1, 3], data: new Uint8Array(BigInt64Array.of(1n, 2n, 3n).buffer) },
      { name: 'é\n"\\/', dtype: "F16", shape: [], data: Uint8Array.of(0, 0x3c) },
      zeros("😀", "F16", [0, 3], 0),
      zeros("\uffee", "F16", [1], 2),
      zeros("\x01\x7f\u2028", "F16", [1], 2),
    ],
    { format: "pt" },
  );
  expect(Buffer.from(file).toString("hex")).toBe(reference);
});

test("orders dtypes as the reference writer does", async () => {
  const file = encodeSafetensors(fileDtypes.map((dtype) => zeros(`t_${dtype}`, dtype, [8], dtypeBits[dtype])));
  const order = [...(await readBytes(file)).tensors.values()].map(({ dtype }) => dtype);
  // As safetensors 0.8.0 wrote them from torch 2.15; the 6-bit ones, which torch lacks, by its list of types.
  expect(order.join(" ")).toBe(
    "U64 I64 F64 C64 F32 U32 I32 BF16 F16 U16 I16 F8_E5M2FNUZ F8_E4M3FNUZ F8_E8M0 F8_E4M3 F8_E5M2 I8 U8 F6_E3M2 F6_E2M3 F4 BOOL",
  );
});

test("no tensors and no metadata", () => {
  const text = new TextDecoder().decode(encodeSafetensors([]).subarray(8));
  expect(text).toBe("{}      ");
});

describe("refuses", () => {
  test("data that do not fill the shape, with both numbers", () => {
    expect(() => encodeSafetensors([zeros("w", "F16", [3, 2], 8)])).toThrow(ShapeError);
    expect(() => encodeSafetensors([zeros("w", "F16", [3, 2], 8)])).toThrow(
      /'w': F16 \[3, 2\] takes 12 bytes, 8 given/,
    );
  });

  test("dimensions that the reader would refuse", () => {
    for (const shape of [[-1], [0.5], [Number.NaN], [2 ** 31, 0], [1, 1, 1, 1, 1, 1, 1, 1, 1]]) {
      expect(() => encodeSafetensors([zeros("w", "U8", shape, 1)])).toThrow(ShapeError);
    }
    expect(() => encodeSafetensors([zeros("w", "F4", [3], 2)])).toThrow(/whole number of bytes/);
  });

  test("two tensors of one name, the metadata's name, and names without a UTF-8 form", () => {
    expect(() => encodeSafetensors([zeros("a", "U8", [1], 1), zeros("a", "U8", [1], 1)])).toThrow(UsageError);
    expect(() => encodeSafetensors([zeros("__metadata__", "U8", [1], 1)])).toThrow(UsageError);
    expect(() => encodeSafetensors([zeros("\ud800", "U8", [1], 1)])).toThrow(UsageError);
  });
});
