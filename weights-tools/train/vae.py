"""Trains the autoencoder on the packed pictures, centres its latents and measures the scaling factor.

    python vae.py [--minutes 12] [--device cuda]
    python vae.py --decoder [--minutes 5]          later: sharpen the decoder alone, the latents stay as they are

Reads WORK/dataset.npz; writes WORK/vae.pt (resumable), WORK/vae.csv, WORK/vae-N.png (above: original, below: decoded) and,
at the end, WORK/vae/ in diffusers layout.
"""

import math
import time

from common import LossLog, arguments, need, prepare, save_atomically, sheet, to_u8
from muon import Muon, split_parameters
from nets import make_vae

np, diffusers = need("numpy", "diffusers")

#: Weight of the KL term per latent, against a loss that is a mean over pixels: keeps latents near unit variance and teaches
#: the decoder to bear noise of about the size that a sampler leaves.
KL = 4e-4


def augment(torch, x, size):
    """Flips, swaps of colour channels and shifts: the autoencoder should not know the emoji by heart."""
    n = len(x)
    flip = torch.rand(n, 1, 1, 1, device=x.device) < 0.5
    x = torch.where(flip, x.flip(3), x)
    order = torch.stack([torch.randperm(3) if torch.rand(()) < 0.25 else torch.arange(3) for _ in range(n)]).to(x.device)
    x = x.gather(1, order[:, :, None, None].expand_as(x))
    # Shifted by an amount that is no multiple of the latent's cell, then cut: small pieces give four times the steps.
    dy, dx = (int(v) for v in torch.randint(0, 64 - size + 1 if size < 64 else 8, (2,)))
    return torch.roll(x, (-dy, -dx), (2, 3))[..., :size, :size]


def edges(x):
    return x[..., 1:] - x[..., :-1], x[..., 1:, :] - x[..., :-1, :]


def centre(torch, vae, mean):
    """Shifts latents by -mean without changing the pictures: out of the encoder through quant_conv's bias, and back in
    front of the decoder through post_quant_conv's. White emoji backgrounds would otherwise bias every channel."""
    with torch.no_grad():
        vae.quant_conv.bias[: len(mean)] -= mean
        vae.post_quant_conv.bias += vae.post_quant_conv.weight[:, :, 0, 0] @ mean


def main():
    parser = arguments(__doc__)
    parser.add_argument("--minutes", type=float, default=12, help="training time of this run")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rate", type=float, default=2e-3, help="peak learning rate")
    parser.add_argument("--decoder", action="store_true", help="continue WORK/vae with the encoder frozen")
    args = parser.parse_args()
    torch = prepare(args)
    device = torch.device(args.device)
    packed = np.load(args.work / "dataset.npz")
    pictures = torch.from_numpy(packed["images"]).permute(0, 3, 1, 2)
    vae = (diffusers.AutoencoderKL.from_pretrained(args.work / "vae").float() if args.decoder else make_vae()).to(device)
    if args.decoder:
        vae.encoder.requires_grad_(False), vae.quant_conv.requires_grad_(False)
    checkpoint = args.work / ("decoder.pt" if args.decoder else "vae.pt")
    inner, rest = split_parameters(vae.decoder if args.decoder else vae, ("conv_in", "conv_out", "quant_conv"))
    optimisers = [Muon(inner, args.rate * 10), torch.optim.AdamW(rest, args.rate, betas=(0.9, 0.98), weight_decay=0.0)]
    peaks = [group["lr"] for o in optimisers for group in o.param_groups]
    step = 0
    if checkpoint.exists():
        state = torch.load(checkpoint, map_location=device)
        vae.load_state_dict(state["vae"])
        for optimiser, saved in zip(optimisers, state["optimisers"]):
            optimiser.load_state_dict(saved)
        step = state["step"]
    log = LossLog(checkpoint.with_suffix(".csv"), ["l1", "kl", "psnr"])
    began, sums, shown = time.time(), np.zeros(3), time.time()
    rows = np.random.default_rng(args.seed + step)

    def load(index):
        return pictures[index].to(device).float().div(127.5).sub(1)

    def show():
        with torch.no_grad():
            x = load(torch.arange(0, len(pictures), len(pictures) // 24)[:24])
            y = vae.decode(vae.encode(x).latent_dist.mean).sample
        pairs = torch.cat([torch.stack([x[i : i + 12], y[i : i + 12]]).flatten(0, 1) for i in (0, 12)])
        sheet(to_u8(torch, pairs), args.work / f"{checkpoint.stem}-{step}.png", 12)
        save_atomically(torch, {"vae": vae.state_dict(), "optimisers": [o.state_dict() for o in optimisers], "step": step}, checkpoint)

    while (passed := (time.time() - began) / 60) < args.minutes:
        share = passed / args.minutes
        factor = min(1, (step + 1) / 30) * (0.52 + 0.48 * math.cos(math.pi * share))
        for peak, group in zip(peaks, (group for o in optimisers for group in o.param_groups)):
            group["lr"] = peak * factor
        size = 32 if share < 0.6 and not args.decoder else 64
        x = augment(torch, load(torch.from_numpy(rows.integers(0, len(pictures), args.batch))), size)
        # bf16 only where it is faster: the CPU spends its time in group norms, and converting costs more than it saves.
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type != "cpu"):
            posterior = vae.encode(x).latent_dist
            mean, logvar = posterior.mean.float(), posterior.logvar.float()
            latent = mean + torch.exp(0.5 * logvar) * torch.randn_like(mean)
            y = vae.decode(latent).sample.float()
        l1 = (y - x).abs().mean()
        sharp = sum((a - b).abs().mean() for a, b in zip(edges(y), edges(x)))
        square = (y - x).square().mean()
        kl = 0.5 * (mean.square() + logvar.exp() - 1 - logvar).mean()
        loss = l1 + square + 0.5 * sharp + KL * kl
        vae.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
        for optimiser in optimisers:
            optimiser.step()
        step += 1
        sums += l1.item(), kl.item(), 10 * np.log10(4 / square.item())
        if step % 50 == 0:
            log.write(step, *(sums / 50))
            sums[:] = 0
        if time.time() - shown > 150:
            show()
            shown = time.time()
    show()

    def latents():
        with torch.no_grad():
            return torch.cat([vae.encode(load(torch.arange(i, min(i + 64, len(pictures))))).latent_dist.mean for i in range(0, len(pictures), 64)])

    vae.eval()
    if args.decoder:
        vae.half().save_pretrained(args.work / "vae")
        return print(f"step {step}: decoder saved")
    centre(torch, vae, latents().mean((0, 2, 3)))
    # Rounded to f16 before measuring: that is what ships and what the UNet will be trained on.
    vae = vae.half().float()
    std = latents().std().item()
    vae.register_to_config(scaling_factor=round(1 / std, 5))
    vae.half().save_pretrained(args.work / "vae")
    print(f"step {step}: latent std {std:.4f}, scaling factor {1 / std:.5f}")


if __name__ == "__main__":
    main()
