"""Trains a rank-8 LoRA on the weak model's attention layers towards the favoured style.

    python lora.py [--minutes 6 | --steps 3000] [--device cuda]

Reads WORK/dataset.npz and the exported weak parts; writes models/emoji-lora/pytorch_lora_weights.safetensors (PEFT keys,
f16) and WORK/lora.csv. Without a style word in the prompt, the weak model plus this LoRA draws the favoured style.
"""

import math
import time

from common import REPO, LossLog, arguments, need, prepare
from data_latents import Pictures
from nets import make_scheduler
from unet import FAVOURED, loss_weight

np = need("numpy")
diffusers, transformers, peft = need("diffusers", "transformers", "peft")

RANK = 8


def main():
    parser = arguments(__doc__)
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rate", type=float, default=2e-3)
    args = parser.parse_args()
    if (args.minutes is None) == (args.steps is None):
        parser.error("give either --minutes or --steps")
    torch = prepare(args)
    device, work = torch.device(args.device), args.work
    vae = diffusers.AutoencoderKL.from_pretrained(work / "vae").float().to(device).eval()
    text = transformers.CLIPTextModel.from_pretrained(work / "text_encoder", torch_dtype=torch.float32).to(device).eval()
    tokenizer = transformers.CLIPTokenizer.from_pretrained(work / "tokenizer")
    data = Pictures(torch, args, vae, tokenizer, FAVOURED)
    # Only the favoured style, and in all wordings: without a style word, too, it is the one to draw.
    data.weights *= np.array([row["style"] == FAVOURED for row in data.rows])
    data.weights /= data.weights.sum()
    unet = diffusers.UNet2DConditionModel.from_pretrained(work / "weak").float().to(device).requires_grad_(False)
    unet.add_adapter(peft.LoraConfig(r=RANK, lora_alpha=RANK, init_lora_weights="gaussian", target_modules=["to_q", "to_k", "to_v", "to_out.0"]))
    trained = [p for p in unet.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(trained, args.rate, betas=(0.9, 0.99), weight_decay=1e-3)
    alpha_bar = make_scheduler().alphas_cumprod.to(device)
    rng = np.random.default_rng(args.seed)
    log = LossLog(work / "lora.csv", ["loss"])
    began, step, total = time.time(), 0, 0.0
    while (share := (time.time() - began) / 60 / args.minutes if args.minutes else step / args.steps) < 1:
        for group in optimiser.param_groups:
            group["lr"] = args.rate * (0.5 + 0.5 * math.cos(math.pi * share))
        index, captions = data.draw(rng, args.batch)
        x0 = data.latents[torch.from_numpy(index).to(device)]
        t = torch.randint(0, 1000, (args.batch,), device=device)
        a = alpha_bar[t].view(-1, 1, 1, 1)
        eps = torch.randn_like(x0)
        with torch.no_grad():
            context = text(data.tokens[torch.tensor(captions)].to(device))[0]
        guess = unet(a.sqrt() * x0 + (1 - a).sqrt() * eps, t, context).sample
        snr = (a / (1 - a)).flatten()
        loss = ((guess - eps).square().mean((1, 2, 3)) * loss_weight(snr)).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        step, total = step + 1, total + loss.item()
        if step % 50 == 0:
            log.write(step, total / 50)
            total = 0.0
    state = {k: v.half().contiguous() for k, v in peft.get_peft_model_state_dict(unet).items()}
    target = REPO / "models" / "emoji-lora"
    diffusers.StableDiffusionPipeline.save_lora_weights(target, unet_lora_layers=state, safe_serialization=True)
    print(f"lora: {step} steps, {sum(v.numel() for v in state.values())} parameters")


if __name__ == "__main__":
    main()
