import { describe, expect, it } from "vitest";
import type { ModelFacts } from "../../../src/pipeline/model.ts";
import { planRun } from "../../../src/pipeline/request.ts";
import { sdxlScheduler } from "../../../src/w2sd/schedule.ts";

const model = (className?: string): ModelFacts => ({
  name: "model",
  latentChannels: 4,
  sampleSize: 64,
  unetFactor: 8,
  vaeFactor: 8,
  scheduler: { ...sdxlScheduler, className },
});

describe("samplers for which reflection is undefined", () => {
  it.each(["Euler a", "LCM", "DPM++ 2M"])("%s is refused with the reason", (sampler) => {
    expect(() => planRun({ prompt: "", reflection: {}, sampler }, model())).toThrow(
      `sampler ${sampler}: reflection is not defined for it, since`,
    );
  });

  it.each(["LCMScheduler", "TCDScheduler", "EulerAncestralDiscreteScheduler"])(
    "a checkpoint made for %s is refused, on either side",
    (name) => {
      expect(() => planRun({ prompt: "", reflection: {} }, model(name))).toThrow(`made for ${name}`);
      expect(() => planRun({ prompt: "", reflection: {} }, model(), model(name))).toThrow(`made for ${name}`);
      expect(planRun({ prompt: "" }, model(name)).legs).toHaveLength(1);
    },
  );

  it("recommended multistep samplers do not matter, and ddim may be named", () => {
    expect(
      planRun({ prompt: "", reflection: {}, sampler: "DDIM" }, model("PNDMScheduler"), model("DEISMultistepScheduler"))
        .legs,
    ).toHaveLength(3);
    expect(() => planRun({ prompt: "", sampler: "heun" }, model())).toThrow("only ddim is there");
  });
});
