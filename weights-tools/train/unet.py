"""Trains the noise predictor: first the weak model, then the strong one from it.

    python unet.py weak [--minutes 30 | --steps 20000] [--device cuda]
    python unet.py strong [--minutes 45 | --steps 60000] [--device cuda]

weak:   every style equally often, no averaging, stopped early.
strong: the weak UNet continued, cosine rate, averaged weights, and one favoured style: drawn more often, and the only one
        shown for captions that name no style.

Reads WORK/dataset.npz, WORK/vae/ and WORK/text_encoder/; writes WORK/{stage}.pt (resumable), {stage}.csv, {stage}-N.png and, with every
checkpoint, WORK/{stage}/ with the f16 UNet.
"""

import copy
import math
import time

from common import LossLog, arguments, need, prepare, save_atomically, sheet, to_u8
from data_latents import Pictures
from muon import Muon, split_parameters
from nets import make_scheduler, make_unet

np = need("numpy")
diffusers, transformers = need("diffusers", "transformers")

FAVOURED = "gradient"
SHEET_PROMPTS = """red apple, {s} style|dog, {s} style|pizza, {s} style|grinning face, {s} style|red heart, {s} style|
blue car, {s} style|rocket, {s} style|soccer ball, {s} style|purple butterfly, {s} style|tulip, {s} style|
green umbrella, {s} style|yellow star, {s} style|cat, {s} style|panda, {s} style|hamburger, {s} style|banana, {s} style|
gift, {s} style|key, {s} style|sun, {s} style|cactus, {s} style|fish, {s} style|skull, {s} style|pencil, {s} style|
christmas tree, {s} style""".replace("\n", "").split("|")


def loss_weight(snr):
    """clamp(SNR, 1, 5) / SNR, at most 20, on the error of ε: an error of x0 counts alike at high noise, where the caption
    decides what is drawn and the error of ε hardly shows it, and the many steps with little noise do not take over.
    @see Salimans & Ho 2022, arXiv:2202.00512, section 4 (truncated SNR); Hang et al. 2023, arXiv:2303.09556"""
    return (snr.clamp(1, 5) / snr).clamp(max=20)


def sample(torch, unet, text, vae, scheduler, tokens, guidance=4.0, steps=25, seed=0):
    """Plain DDIM with guidance, token rows [N, 77] (the last one the empty caption) → pictures f32 [N-1, 3, H, W]."""
    device = next(unet.parameters()).device
    with torch.no_grad():
        states = text(tokens.to(device))[0]
        n = len(states) - 1
        context = torch.cat([states[-1:].expand(n, -1, -1), states[:-1]])
        x = torch.randn(n, 4, 16, 16, generator=torch.Generator().manual_seed(seed)).to(device)
        scheduler.set_timesteps(steps)
        for t in scheduler.timesteps:
            without, given = unet(torch.cat([x, x]), t, context).sample.chunk(2)
            x = scheduler.step(without + guidance * (given - without), t, x).prev_sample
        return vae.decode(x / vae.config.scaling_factor).sample


def main():
    parser = arguments(__doc__)
    parser.add_argument("stage", choices=["weak", "strong"])
    parser.add_argument("--minutes", type=float, help="length of the stage in minutes, restarts included")
    parser.add_argument("--steps", type=int, help="length of the stage in optimiser steps")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rate", type=float, default=1e-3, help="peak rate of AdamW; Muon's is ten times that")
    parser.add_argument("--every", type=float, default=4, help="minutes between checkpoints")
    args = parser.parse_args()
    if (args.minutes is None) == (args.steps is None):
        parser.error("give either --minutes or --steps")
    torch = prepare(args)
    device, weak, work = torch.device(args.device), args.stage == "weak", args.work
    cuda = device.type == "cuda"
    vae = diffusers.AutoencoderKL.from_pretrained(work / "vae").float().to(device).eval()

    tokenizer = transformers.CLIPTokenizer.from_pretrained(work / "tokenizer")
    data = Pictures(torch, args, vae, tokenizer, None if weak else FAVOURED)
    data.tokens = data.tokens.to(device)

    unet = make_unet().to(device)
    if cuda:
        unet = unet.to(memory_format=torch.channels_last)
    text = transformers.CLIPTextModel.from_pretrained(work / "text_encoder", torch_dtype=torch.float32).to(device).eval()
    if not weak:
        unet.load_state_dict(torch.load(work / "weak.pt", map_location=device)["unet"])
    trained = list(unet.parameters())
    print(f"{sum(p.numel() for p in unet.parameters())} parameters in the UNet, {sum(p.numel() for p in text.parameters())} in the text encoder, "
          f"{len(data.rows)} pictures, {len(data.tokens)} captions")
    averaged = copy.deepcopy(unet).requires_grad_(False)
    inner, rest = split_parameters(unet, ("conv_in", "conv_out", "time_embedding"))
    optimisers = [
        Muon(inner, args.rate * 10, weight_decay=0.01, rounds=4),
        torch.optim.AdamW(rest, args.rate, betas=(0.9, 0.99), weight_decay=0.0, fused=True),
    ]
    peaks = [group["lr"] for o in optimisers for group in o.param_groups]
    step, spent = 0, 0.0
    checkpoint = work / f"{args.stage}.pt"
    if checkpoint.exists():
        state = torch.load(checkpoint, map_location=device)
        unet.load_state_dict(state["unet"])
        averaged.load_state_dict(state["averaged"])
        for optimiser, part in zip(optimisers, state["optimisers"]):
            optimiser.load_state_dict(part)
        step, spent = state["step"], state["spent"]
    torch.manual_seed(args.seed + step)
    rng = np.random.default_rng(args.seed + step)
    scheduler = make_scheduler()
    alpha_bar = scheduler.alphas_cumprod.to(device)
    log = LossLog(work / f"{args.stage}.csv", ["loss", "mse", "factor"])
    shown = [p.format(s=s) for s, p in zip([*("flat", "gradient", "cartoon") * 8], SHEET_PROMPTS)] + [""]
    sheet_tokens = tokenizer(shown, padding="max_length", max_length=77, return_tensors="pt").input_ids

    def save():
        kept = unet if weak else averaged
        state = {"unet": unet.state_dict(), "averaged": averaged.state_dict()}
        state["optimisers"] = [o.state_dict() for o in optimisers]
        save_atomically(torch, state | {"step": step, "spent": spent}, checkpoint)
        out = copy.deepcopy(kept).to("cpu", memory_format=torch.contiguous_format)
        out.half().save_pretrained(work / args.stage)
        kept.eval()
        sheet(to_u8(torch, sample(torch, kept, text, vae, make_scheduler(), sheet_tokens)), work / f"{args.stage}-{step}.png", 8)
        unet.train()

    def share():
        return spent / 60 / args.minutes if args.minutes else step / args.steps

    began = saved = time.time()
    sums = torch.zeros(2, device=device)
    while share() < 1:
        # The weak model is stopped at a third of its rate, the strong one anneals all the way.
        fall = 1 - 0.7 * share() if weak else 0.5 + 0.5 * math.cos(math.pi * share())
        factor = min(1, (step + 1) / 60) * max(fall, 0.02)
        for peak, group in zip(peaks, (group for o in optimisers for group in o.param_groups)):
            group["lr"] = peak * factor
        index, captions = data.draw(rng, args.batch)
        x0 = data.latents[torch.from_numpy(index).to(device)]
        captions = torch.tensor(captions, device=device)
        t = torch.randint(0, 1000, (args.batch,), device=device)
        a = alpha_bar[t].view(-1, 1, 1, 1)
        eps = torch.randn_like(x0)
        # Encoded on the fly: at three layers it costs a few per cent of a step, and no stage sees all captions many times.
        with torch.no_grad():
            context = text(data.tokens[captions])[0]
        with torch.autocast(device.type, torch.bfloat16, enabled=cuda):
            guess = unet(a.sqrt() * x0 + (1 - a).sqrt() * eps, t, context).sample.float()
        error = (guess - eps).square().mean((1, 2, 3))
        snr = (a / (1 - a)).flatten()
        loss = (error * loss_weight(snr)).mean()
        unet.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        for optimiser in optimisers:
            optimiser.step()
        step += 1
        decay = min(0.999, (1 + step) / (10 + step))
        with torch.no_grad():
            torch._foreach_lerp_(list(averaged.parameters()), list(unet.parameters()), 1 - decay)
        # A tensor until it is printed: steps on an accelerator are not waited for.
        sums += torch.stack([loss.detach(), error.detach().mean()])
        now = time.time()
        spent, began = spent + now - began, now
        if step % 25 == 0:
            log.write(step, *(sums / 25).tolist(), factor)
            sums.zero_()
        if now - saved > args.every * 60:
            save()
            saved = time.time()
    save()
    print(f"{args.stage}: {step} steps in {spent / 60:.1f} minutes")


if __name__ == "__main__":
    main()
