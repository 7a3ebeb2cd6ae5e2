"""Trains the text encoder on its own: from a caption's states, name the object, the style and the colour and sketch the picture.

    python text.py [--minutes 4 | --steps 4000] [--device cuda]

A caption costs a few thousandths of what a UNet step costs, so the encoder learns here what the words mean and stays
frozen afterwards; learnt through the UNet's noise alone it would take most of the training. The heads are thrown away.
They read every position from the end token on, because the UNet attends to all of them.

Reads WORK/dataset.npz and WORK/vae/; writes WORK/tokenizer/, WORK/text_encoder/ and WORK/text.csv.
"""

import json
import time

import bpe
from common import LossLog, arguments, need, prepare
from data_latents import Pictures
from muon import Muon, split_parameters
from nets import make_text_encoder

np = need("numpy")
diffusers, transformers = need("diffusers", "transformers")


def main():
    parser = arguments(__doc__)
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--batch", type=int, default=96)
    args = parser.parse_args()
    if (args.minutes is None) == (args.steps is None):
        parser.error("give either --minutes or --steps")
    torch = prepare(args)
    nn, work, device = torch.nn, args.work, torch.device(args.device)
    rows = json.loads(str(np.load(work / "dataset.npz")["rows"]))
    if not (work / "tokenizer").exists():
        print(bpe.write(work / "tokenizer", [c["text"] for r in rows for c in r["captions"]]))
    vocab = json.loads((work / "tokenizer" / "vocab.json").read_text(encoding="utf-8"))
    ids = {"vocab": len(vocab), "bos": vocab[bpe.BOS], "eos": vocab[bpe.EOS]}
    vae = diffusers.AutoencoderKL.from_pretrained(work / "vae").float().to(device).eval()
    data = Pictures(torch, args, vae, transformers.CLIPTokenizer.from_pretrained(work / "tokenizer"), None)

    def codes(values):
        names = sorted({v or "" for v in values})
        return torch.tensor([names.index(v or "") for v in values], device=device), len(names)

    labels = {key: codes([row[key] for row in rows]) for key in ("noun", "style", "colour")}
    sketch = nn.functional.avg_pool2d(data.latents, 2).flatten(1)
    text = make_text_encoder(ids).to(device)
    heads = nn.ModuleDict({key: nn.Linear(128, count) for key, (_, count) in labels.items()}).to(device)
    heads["sketch"] = nn.Linear(128, sketch.shape[1]).to(device)
    inner, rest = split_parameters(text, ("embedding",))
    optimisers = [Muon(inner, 0.01), torch.optim.AdamW([*rest, *heads.parameters()], 3e-3, betas=(0.9, 0.98), weight_decay=0.0)]
    peaks = [group["lr"] for o in optimisers for group in o.param_groups]
    rng = np.random.default_rng(args.seed)
    log = LossLog(work / "text.csv", ["noun", "style", "colour", "sketch", "noun_accuracy"])
    ends = (data.tokens == ids["eos"]).int().argmax(1)
    step, began, sums = 0, time.time(), torch.zeros(5, device=device)

    def share():
        return (time.time() - began) / 60 / args.minutes if args.minutes else step / args.steps

    while (done := share()) < 1:
        for peak, group in zip(peaks, (group for o in optimisers for group in o.param_groups)):
            group["lr"] = peak * min(1, (step + 1) / 30) * max(1 - done, 0.02)
        index, captions = data.draw(rng, args.batch)
        captions = torch.tensor(captions)
        # Causal: the first positions do not see the rest, so most steps can do without the long padding.
        length = 77 if step % 5 == 0 else 24
        tokens, first = data.tokens[captions, :length], ends[captions]
        said = (captions > 0).to(device)
        index = torch.from_numpy(index).to(device)
        states = text(tokens.to(device))[0]
        after = (torch.arange(length)[None] >= first[:, None]).to(device) & said[:, None]
        picture, _ = after.nonzero(as_tuple=True)
        states = states[after]
        weight = 1 / after.sum(1)[picture] / said.sum()
        styled = torch.tensor([data.styled[c] for c in captions.tolist()], device=device)
        losses = []
        for key, (target, _) in labels.items():
            loss = nn.functional.cross_entropy(heads[key](states), target[index][picture], reduction="none")
            # A caption that names no style should not be asked for it.
            losses.append((loss * weight * (styled[picture] if key == "style" else 1)).sum())
        losses.append(((heads["sketch"](states) - sketch[index][picture]).square().mean(1) * weight).sum())
        right = (heads["noun"](states).argmax(1) == labels["noun"][0][index][picture]).float() * weight
        for optimiser in optimisers:
            optimiser.zero_grad()
        (losses[0] + losses[1] + losses[2] + 2 * losses[3]).backward()
        for optimiser in optimisers:
            optimiser.step()
        step += 1
        sums += torch.stack([*(loss.detach() for loss in losses), right.sum()])
        if step % 50 == 0:
            log.write(step, *(sums / 50).tolist())
            sums.zero_()
    text.cpu().half().save_pretrained(work / "text_encoder")
    print(f"text: {step} steps")


if __name__ == "__main__":
    main()
