"""Weak-to-Strong Diffusion with reflection, as plainly as it can be written: the reference for whole runs.

Schedule and coefficients are float64, networks and latents float32. Letters as in the paper: a = ᾱ(t_i), a' = ᾱ(t_{i+1}).
"""

from dataclasses import dataclass
from math import sqrt
from typing import Callable

import numpy as np
import torch


@dataclass
class Schedule:
    """timesteps[0] is the noisiest. alpha(i) is ᾱ at step i; alpha(T) is the final one."""

    timesteps: list[int]
    alphas_cumprod: np.ndarray
    final_alpha: float
    step_ratio: int

    def alpha(self, i):
        return float(self.alphas_cumprod[self.timesteps[i]]) if i < len(self.timesteps) else self.final_alpha


def make_schedule(config, steps, spacing="leading"):
    """Reads a diffusers scheduler_config (scaled_linear betas only). spacing: leading | trailing."""
    train = config["num_train_timesteps"]
    assert config["beta_schedule"] == "scaled_linear" and not config["clip_sample"]
    betas = np.linspace(sqrt(config["beta_start"]), sqrt(config["beta_end"]), train, dtype=np.float64) ** 2
    alphas_cumprod = np.cumprod(1.0 - betas)
    ratio = train // steps
    if spacing == "leading":
        timesteps = [k * ratio + config["steps_offset"] for k in reversed(range(steps))]
    else:
        assert train % steps == 0, "trailing spacing: only step counts that divide the training steps"
        timesteps = [train - k * ratio - 1 for k in range(steps)]
    final = 1.0 if config["set_alpha_to_one"] else float(alphas_cumprod[0])
    return Schedule(timesteps, alphas_cumprod, final, ratio)


def move(x, e, a, b):
    """DDIM, η = 0, from noise level a to noise level b, in either direction."""
    y = sqrt(b) * (x.double() - sqrt(1 - a) * e.double()) / sqrt(a) + sqrt(1 - b) * e.double()
    return y.to(x.dtype)


# x, timestep → predicted noise. Weights, prompt and guidance scale are already inside.
Denoiser = Callable[[torch.Tensor, int], torch.Tensor]


def guided(unet, cond, uncond, scale, schedule, prediction="epsilon") -> Denoiser:
    """eps = eps_u + w (eps_c − eps_u), both branches always computed. v is turned into eps at the timestep that was asked for."""

    def predict(x, t, hidden):
        out = unet(x, t, hidden).sample
        if prediction == "epsilon":
            return out
        assert prediction == "v_prediction"
        a = float(schedule.alphas_cumprod[t])
        return (sqrt(a) * out.double() + sqrt(1 - a) * x.double()).to(x.dtype)

    def denoise(x, t):
        eps_u, eps_c = predict(x, t, uncond), predict(x, t, cond)
        return eps_u + scale * (eps_c - eps_u)

    return denoise


def autoguided(strong: Denoiser, weak: Denoiser, w) -> Denoiser:
    """Karras 2024: eps_W + w (eps_S − eps_W) at the same x and t."""

    def denoise(x, t):
        eps_w = weak(x, t)
        return eps_w + w * (strong(x, t) - eps_w)

    return denoise


def sample(x, schedule: Schedule, main: Denoiser, down: Denoiser = None, up: Denoiser = None, lam=0, inversion="exact", query="published", alpha=1.0, repeats=1):
    """Runs all steps; returns the latents after each of them.

    lam: number of reflected steps, counted from the noisiest; the final step is never reflected.
    inversion: exact    F(y, e2, a'  → a)
               official F(y, e2, a'' → a'), what the published code computes with diffusers ≥ 0.22: the inverse scheduler takes its
                        argument t_{i+1} as the target and t_{i+1} − 1000 // T as the source; a negative source is ᾱ[0].
    query:     published eps_W(y, t_i) · aligned eps_W(y, t_{i+1}) · cached eps_W(x, t_i)
    alpha:     x ← x + alpha (x̃ − x) · repeats: reflections a step
    """
    T, trace = len(schedule.timesteps), []
    for i in range(T):
        t, a, a1 = schedule.timesteps[i], schedule.alpha(i), schedule.alpha(i + 1)
        if i < lam and i < T - 1:
            t1 = schedule.timesteps[i + 1]
            for _ in range(repeats):
                y = move(x, down(x, t), a, a1)
                e2 = {"published": lambda: up(y, t), "aligned": lambda: up(y, t1), "cached": lambda: up(x, t)}[query]()
                if inversion == "exact":
                    source, target = a1, a
                else:
                    t2 = t1 - schedule.step_ratio
                    source, target = float(schedule.alphas_cumprod[max(t2, 0)]), a1
                reflected = move(y, e2, source, target)
                x = reflected if alpha == 1 else (x.double() + alpha * (reflected.double() - x.double())).to(x.dtype)
        x = move(x, main(x, t), a, a1)
        trace.append(x)
    return trace


def model_calls(T, lam, repeats=1):
    """NFE = T + 2λ, two more for every further repeat."""
    return T + 2 * repeats * min(lam, T - 1)
