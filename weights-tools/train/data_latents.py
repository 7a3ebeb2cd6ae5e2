"""The packed dataset as the training loops see it: cached latents, token rows, and what may be shown with what."""

import json

from common import need

np = need("numpy")

#: Share of captions replaced by the empty one, so that guidance has an unconditional model.
DROPOUT = 0.1


class Pictures:
    """The cached latents and, per picture, the captions a stage may show, as token rows."""

    def __init__(self, torch, args, vae, tokenizer, favoured):
        packed = np.load(args.work / "dataset.npz")
        self.rows = json.loads(str(packed["rows"]))
        pictures = torch.from_numpy(packed["images"]).permute(0, 3, 1, 2)
        with torch.no_grad():
            parts = [
                vae.encode(pictures[i : i + 64].to(args.device).float() / 127.5 - 1).latent_dist.mean for i in range(0, len(pictures), 64)
            ]
        self.latents = torch.cat(parts) * vae.config.scaling_factor
        texts, self.styled, self.choices, weights = [""], [False], [], []
        for row in self.rows:
            kept = [c for c in row["captions"] if not favoured or row["style"] == favoured or c["styled"]]
            self.choices.append((len(texts), len(kept)))
            texts += [c["text"] for c in kept]
            self.styled += [c["styled"] for c in kept]
            # A recoloured drawing repeats a shape that is there already.
            weights.append((0.6 if row["moved"] else 1.0) * (2.5 if row["style"] == favoured else 1.0))
        self.weights = np.array(weights) / sum(weights)
        self.tokens = tokenizer(texts, padding="max_length", max_length=77, truncation=True, return_tensors="pt").input_ids

    def draw(self, rng, n):
        """n picture indices and a caption index for each; caption 0 is the empty one."""
        index = rng.choice(len(self.rows), n, p=self.weights)
        captions = [0 if rng.random() < DROPOUT else self.choices[i][0] + rng.integers(self.choices[i][1]) for i in index]
        return index, captions
