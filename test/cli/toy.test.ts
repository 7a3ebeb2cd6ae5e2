import { describe, expect, it } from "vitest";
import { w2sd } from "./command.ts";

// Figures computed in f64 for this schedule (T = 50, λ = 49), held on the command line to 1e-3, which f32 leaves.

async function toy<T>(...args: string[]): Promise<T> {
  const { code, stdout } = await w2sd("toy", ...args, "--json");
  expect(code).toBe(0);
  return JSON.parse(stdout) as T;
}

describe("toy gmm", () => {
  it.each([
    ["weak", ["--method", "ddim", "--strong", "0.1"], 0.1415, -3.986, 3.825],
    ["strong", ["--method", "ddim"], 0.3349, -3.957, 3.883],
    ["W2SD", ["--steps", "50", "--lambda", "49", "--samples", "4001"], 0.4881, -4.265, 4.141],
  ])("%s", async (_, args, left, meanLeft, meanRight) => {
    const result = await toy<Record<string, number>>("gmm", "--peaks", "-4,4", "--sd", "0.8", ...args);
    expect(Object.keys(result)).toEqual(["left", "meanLeft", "meanRight"]);
    expect(Math.abs(result.left! - left)).toBeLessThan(1e-3);
    expect(Math.abs(result.meanLeft! - meanLeft)).toBeLessThan(1e-3);
    expect(Math.abs(result.meanRight! - meanRight)).toBeLessThan(1e-3);
  });
});

describe("toy gaussian", () => {
  const gaussian = (...args: string[]) =>
    toy<{ x: number[] }>("gaussian", "--sd", "0.5", "--x", "-1.5,-0.5,0,0.7,2", ...args);

  it.each([
    ["strong", ["--method", "ddim"], [0.2453, 0.7239, 0.9632, 1.2982, 1.9204]],
    ["ideal", ["--method", "ddim", "--strong-mean", "2"], [1.2085, 1.6871, 1.9264, 2.2614, 2.8836]],
    ["W2SD", ["--strong-mean", "1", "--weak-mean", "0"], [1.1966, 1.6574, 1.8879, 2.2105, 2.8096]],
  ])("%s", async (_, args, expected) => {
    const { x } = await gaussian(...args);
    expect(x).toHaveLength(5);
    x.forEach((value, i) => expect(Math.abs(value - expected[i]!)).toBeLessThan(1e-3));
  });

  it("cached queries of one model against itself are plain sampling", async () => {
    const plain = await gaussian("--method", "ddim");
    const cached = await gaussian("--weak-mean", "1", "--query", "cached");
    cached.x.forEach((value, i) => expect(Math.abs(value - plain.x[i]!)).toBeLessThan(1e-4));
  });
});
