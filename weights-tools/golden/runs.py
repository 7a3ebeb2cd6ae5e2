"""Whole runs: start noise, prompt embeddings, the latents after every step, and for some the picture."""

import json

import torch
from diffusers import AutoencoderKL, DDIMInverseScheduler, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel

from common import MODELS, save_golden, seeded
from models import encode
from w2sd import autoguided, guided, make_schedule, model_calls, sample

PROMPT = "a photo of a cat"
NEGATIVE = "blurry, low quality"
SEED = 42
SIZE = 16

# Every run: what differs from this.
DEFAULT = dict(
    strong="sd15-strong", weak="sd15-weak", text="sd15-strong", steps=20, spacing="leading", main=5.5, down=1.0, up=1.0, lam=0,
    inversion="exact", query="published", alpha=1.0, repeats=1, autoguidance=None, image=False, seed=SEED, height=SIZE, width=SIZE,
)  # fmt: skip

RUNS_SD15 = {
    "ddim": dict(),
    "w2sd-exact": dict(lam=19, image=True),
    "w2sd-official": dict(lam=19, inversion="official"),
    "w2sd-aligned": dict(lam=19, query="aligned"),
    "w2sd-cached": dict(lam=19, query="cached"),
    "w2sd-alpha05": dict(lam=19, alpha=0.5),
    "w2sd-repeats2": dict(lam=19, repeats=2),
    "w2sd-lambda7": dict(lam=7),
    "w2sd-guidance-gap": dict(lam=19, weak="sd15-strong", down=5.5, up=0.0),
    "w2sd-negative-scale": dict(lam=19, down=2.5, up=-1.5),
    "w2sd-wide": dict(lam=9, steps=10, height=8, width=24, seed=7),
    "ddim-trailing": dict(spacing="trailing"),
    "ddim-guidance1": dict(main=1.0),
    "ddim-guidance0": dict(main=0.0),
    "autoguidance": dict(main=1.0, autoguidance=2.0),
}
RUNS_SD2 = {
    "v-ddim": dict(strong="sd2", weak="sd2-weak", text="sd2", image=True),
    "v-w2sd": dict(strong="sd2", weak="sd2-weak", text="sd2", lam=19),
}
RUNS_BK = {"w2sd-bk-tiny": dict(lam=19, weak="bk-tiny")}


def start_noise(seed, height, width):
    """As diffusers: one float32 draw of the CPU generator."""
    return torch.randn(1, 4, height, width, generator=seeded(seed))


def load_unet(name, dtype):
    return UNet2DConditionModel.from_pretrained(MODELS / name / "unet").to(dtype).eval()


def scheduler_config(name):
    return json.loads((MODELS / name / "scheduler" / "scheduler_config.json").read_text())


def run(settings, dtype=torch.float32, nudge=None):
    """Returns (settings, inputs, latents after every step). nudge: relative size of an error added to every prediction."""
    s = {**DEFAULT, **settings}
    config = scheduler_config(s["text"])
    prediction = config.get("prediction_type", "epsilon")
    schedule = make_schedule(config, s["steps"], s["spacing"])
    ids, hidden = encode(MODELS / s["text"], [PROMPT, NEGATIVE], torch.float32)
    cond, uncond = hidden[:1], hidden[1:]
    x = start_noise(s["seed"], s["height"], s["width"])
    strong, weak = load_unet(s["strong"], dtype), load_unet(s["weak"], dtype)
    rng = seeded(99)

    def leg(unet, scale):
        denoise = guided(unet, cond.to(dtype), uncond.to(dtype), scale, schedule, prediction)
        if nudge is None:
            return denoise
        return lambda x, t: (e := denoise(x, t)) + nudge * e.std() * torch.randn(e.shape, generator=rng, dtype=dtype)

    main, down, up = leg(strong, s["main"]), leg(strong, s["down"]), leg(weak, s["up"])
    if s["autoguidance"] is not None:
        main = autoguided(main, leg(weak, s["main"]), s["autoguidance"])
    trace = sample(x.to(dtype), schedule, main, down, up, s["lam"], s["inversion"], s["query"], s["alpha"], s["repeats"])
    return s, schedule, {"ids": ids, "cond": cond, "uncond": uncond, "x": x}, trace


def save_run(name, settings):
    s, schedule, inputs, trace = run(settings)
    exact = run(settings, torch.float64)[3][-1]
    nudged = run(settings, torch.float64, nudge=1e-3)[3][-1]
    rms = lambda a, b: f"{float((a.double() - b.double()).pow(2).mean().sqrt()):.3g}"
    worst = lambda a, b: f"{float((a.double() - b.double()).abs().max()):.3g}"
    tensors = {
        "latents_T": inputs["x"],
        "input_ids.cond": inputs["ids"][:1],
        "input_ids.uncond": inputs["ids"][1:],
        "prompt_embeds.cond": inputs["cond"],
        "prompt_embeds.uncond": inputs["uncond"],
        "timesteps": torch.tensor(schedule.timesteps),
        **{f"latents.{i:02d}": x for i, x in enumerate(trace)},
        "latents": trace[-1],
    }
    if s["image"]:
        vae = AutoencoderKL.from_pretrained(MODELS / s["text"] / "vae").float().eval()
        tensors["image"] = (vae.decode(trace[-1] / vae.config.scaling_factor).sample / 2 + 0.5).clamp(0, 1)
    calls = 2 * s["steps"] if s["autoguidance"] is not None else model_calls(s["steps"], s["lam"], s["repeats"])
    save_golden(
        f"runs/{name}", tensors,
        **{"model.strong": s["strong"], "model.weak": s["weak"] if s["lam"] or s["autoguidance"] is not None else "", "model.text": s["text"], "model.vae": s["text"]},
        prompt=PROMPT, negative=NEGATIVE, seed=s["seed"], steps=s["steps"], spacing=s["spacing"], **{"lambda": s["lam"]},
        **{"guidance.main": s["main"], "guidance.down": s["down"], "guidance.up": s["up"]},
        inversion=s["inversion"], query=s["query"], alpha=s["alpha"], repeats=s["repeats"],
        autoguidance="" if s["autoguidance"] is None else s["autoguidance"],
        prediction=scheduler_config(s["text"]).get("prediction_type", "epsilon"), nfe=calls,
        # How far this run can be trusted, and how much error a faithful engine may show (see README.md).
        **{
            "latents_std": f"{float(exact.std()):.3g}",
            "float32_rms": rms(trace[-1], exact), "float32_max": worst(trace[-1], exact),
            "nudge1e-3_rms": rms(nudged, exact), "nudge1e-3_max": worst(nudged, exact),
        },
    )  # fmt: skip
    return trace[-1]


@torch.no_grad()
def check_against_diffusers():
    """The loop above against diffusers' own pipeline and schedulers. Raises when they part."""

    def close(what, ours, theirs, tolerance):
        error = float((ours.double() - theirs.double()).abs().max())
        print(f"  check: {what}: largest difference {error:.2g} (allowed {tolerance:.0e})")
        assert error <= tolerance, what

    # 1. DDIM with guidance against StableDiffusionPipeline, leading and trailing, epsilon and v.
    for model, spacing, name in [("sd15-strong", "leading", "ddim"), ("sd15-strong", "trailing", "ddim-trailing"), ("sd2", "leading", "v-ddim")]:
        settings = {**RUNS_SD15, **RUNS_SD2}[name]
        _, schedule, inputs, trace = run(settings)
        pipe = StableDiffusionPipeline.from_pretrained(MODELS / model, torch_dtype=torch.float32, safety_checker=None)
        pipe.set_progress_bar_config(disable=True)
        pipe.scheduler = DDIMScheduler.from_config(pipe.scheduler.config, timestep_spacing=spacing)
        call = dict(prompt_embeds=inputs["cond"], negative_prompt_embeds=inputs["uncond"], guidance_scale=5.5, num_inference_steps=20)
        call |= dict(generator=seeded(SEED), height=SIZE * pipe.vae_scale_factor, width=SIZE * pipe.vae_scale_factor)
        theirs = pipe(output_type="latent", **call).images
        assert pipe.scheduler.timesteps.tolist() == schedule.timesteps
        close(f"{name} against StableDiffusionPipeline", trace[-1], theirs, 5e-5)
        embeds = pipe.encode_prompt(PROMPT, "cpu", 1, True, NEGATIVE)
        close(f"{name}: prompt embeddings", torch.cat([inputs["cond"], inputs["uncond"]]), torch.cat(embeds), 1e-6)

    # 2. One reflection, both kinds of inverse, against DDIMInverseScheduler called as the published code calls it.
    config = scheduler_config("sd15-strong")
    schedule = make_schedule(config, 20)
    forward = DDIMScheduler(**{k: v for k, v in config.items() if k not in ("_class_name", "_diffusers_version", "skip_prk_steps")})
    inverse = DDIMInverseScheduler(**{k: v for k, v in config.items() if k not in ("_class_name", "_diffusers_version", "skip_prk_steps")})
    forward.set_timesteps(20)
    inverse.set_timesteps(20)
    strong, weak = load_unet("sd15-strong", torch.float32), load_unet("sd15-weak", torch.float32)
    hidden = encode(MODELS / "sd15-strong", [PROMPT], torch.float32)[1]
    down, up = guided(strong, hidden, hidden, 1.0, schedule), guided(weak, hidden, hidden, 1.0, schedule)
    reflect = lambda x, k, inversion: sample(x, first_steps(schedule, k), lambda x, t: x * 0, down, up, lam=1, inversion=inversion)
    for k in [0, 9, 17, 18]:
        x = start_noise(k, SIZE, SIZE)
        t, t1 = schedule.timesteps[k], schedule.timesteps[k + 1]
        y = forward.step(down(x, t), t, x).prev_sample
        theirs = inverse.step(up(y, t), t1, y).prev_sample
        ours = undo_plain_step(reflect(x, k, "official")[0], schedule, k)
        close(f"official reflection of step {k}", ours, theirs, 2e-5)
        # The exact one is what the same scheduler gives when it is told the target t_i.
        theirs = inverse.step(up(y, t), t, y).prev_sample
        ours = undo_plain_step(reflect(x, k, "exact")[0], schedule, k)
        close(f"exact reflection of step {k}", ours, theirs, 2e-5)


def first_steps(schedule, k):
    """The schedule from step k on, so that its first step can be reflected alone."""
    return type(schedule)(schedule.timesteps[k:], schedule.alphas_cumprod, schedule.final_alpha, schedule.step_ratio)


def undo_plain_step(x, schedule, k):
    """Main predicted zero noise there, so the step only rescaled: take that back to see the reflected state."""
    return x * (schedule.alpha(k) / schedule.alpha(k + 1)) ** 0.5


@torch.no_grad()
def make(runs):
    for name, settings in runs.items():
        save_run(name, settings)


MAKERS = {"sd15": lambda: make(RUNS_SD15), "sd2": lambda: make(RUNS_SD2), "bk-tiny": lambda: make(RUNS_BK)}
