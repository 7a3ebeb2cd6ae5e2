"""Random weights with which a mistake shows: no zero biases, no unit norms, outputs of size one, attention that attends."""

import math

import torch
import torch.nn.functional as F
from torch import nn

from common import seeded

# Layers whose output is added to a residual stream. A gain below one keeps the stream from being drowned by random branches.
BRANCH_ENDS = (".conv2", ".proj_out", ".to_out.0", ".net.2", ".fc2", ".out_proj")
BRANCH_GAIN = 0.7
# Size of everything but x itself on the way into the last layer of a fitted UNet (see fit_unet_output).
HUSH = 0.2


@torch.no_grad()
def randomise(model, seed, sharpness=1.5):
    """Fills every parameter of `model` from one generator.

    Weights are N(0, 1/fan_in), so a layer keeps the size of its input; biases and the parameters of the norms are random
    too, because a zero bias hides a bias that was never read. `sharpness` scales the query and key projections: at 1 the
    softmax of a random network is almost flat and would hide an error in the logits.
    """
    rng = seeded(seed)
    normal = lambda tensor, std, mean=0.0: tensor.copy_(torch.randn(tensor.shape, generator=rng, dtype=torch.float64) * std + mean)
    for name, module in model.named_modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            gain = 1.0
            if name.endswith((".to_q", ".to_k", ".q_proj", ".k_proj")):
                gain = sharpness
            elif name.endswith(BRANCH_ENDS):
                gain = BRANCH_GAIN
            normal(module.weight, gain / math.sqrt(module.weight[0].numel()))
            if module.bias is not None:
                normal(module.bias, 0.1)
        elif isinstance(module, (nn.GroupNorm, nn.LayerNorm)):
            normal(module.weight, 0.2, mean=1.0)
            normal(module.bias, 0.2)
        elif isinstance(module, nn.Embedding):
            normal(module.weight, 0.7)
    return model


@torch.no_grad()
def perturb(model, seed, amount, chosen):
    """Adds noise of `amount` standard deviations to the parameters whose name `chosen` accepts."""
    rng = seeded(seed)
    for name, tensor in model.named_parameters():
        if chosen(name):
            tensor += amount * tensor.std(correction=0) * torch.randn(tensor.shape, generator=rng, dtype=tensor.dtype)
    return model


def smooth_latents(shape, seed):
    """Latents with some structure, standard deviation 1: coarse noise, interpolated, plus a little fine noise."""
    rng = seeded(seed)
    coarse = torch.randn(*shape[:2], 4, 4, generator=rng, dtype=torch.float64)
    x = F.interpolate(coarse, shape[2:], mode="bicubic") + 0.2 * torch.randn(*shape, generator=rng, dtype=torch.float64)
    return x / x.std(dim=(1, 2, 3), keepdim=True)


@torch.no_grad()
def let_the_input_through(unet):
    """Makes conv_in copy x, once with each sign, and the last block keep that copy.

    A GroupNorm and a SiLU stand between the last block and conv_out; silu(z) - silu(-z) = z, so with both signs present
    the last layer can read x. What the rest of the network says is added to it, `HUSH` times.
    """
    last, skip = unet.up_blocks[-1], unet.conv_in.out_channels
    unet.conv_in.weight *= HUSH
    for channel in range(skip):
        unet.conv_in.weight[channel, channel // 2 % 4, 1, 1] += 1 - 2 * (channel % 2)
    last.resnets[-1].conv_shortcut.weight *= HUSH  # its input is [trunk, output of conv_in]
    last.resnets[-1].conv_shortcut.weight[:, -skip:, 0, 0] += torch.eye(skip, dtype=torch.float64)
    last.resnets[-1].conv2.weight *= HUSH
    if hasattr(last, "attentions"):
        last.attentions[-1].proj_out.weight *= HUSH


@torch.no_grad()
def fit_unet_output(unet, contexts, alphas, seed, prediction="epsilon", wildness=0.1):
    """Sets conv_out so that the random network is roughly a denoiser, with output of standard deviation 1.

    The features before conv_out come from random weights; the last layer is the ridge regression of the true noise (or v)
    on them, plus `wildness` of a random layer. Without this a random network makes a sampler whose rounding errors grow a
    thousandfold over twenty steps, and whole runs could not be compared.

    unet: float64. contexts: [n, 77, D]. alphas: cumulative products, [1000].
    """
    rng = seeded(seed)
    rows, targets = [], []
    hook = unet.conv_out.register_forward_pre_hook(lambda _, args: rows.append(F.unfold(args[0], 3, padding=1)))
    for k, t in enumerate([981, 861, 741, 621, 501, 381, 261, 141, 61, 1]):
        x0 = smooth_latents((4, 4, 16, 16), seed + 100 + k)
        noise = torch.randn(x0.shape, generator=rng, dtype=torch.float64)
        a = alphas[t]
        x = a.sqrt() * x0 + (1 - a).sqrt() * noise
        unet(x, t, contexts[(torch.arange(4) + k) % len(contexts)])
        targets.append((noise if prediction == "epsilon" else a.sqrt() * noise - (1 - a).sqrt() * x0).flatten(2))
    hook.remove()
    features = torch.cat(rows).transpose(1, 2).flatten(0, 1)  # [rows, C·9]
    features = torch.cat([features, torch.ones(len(features), 1, dtype=torch.float64)], 1)
    wanted = torch.cat(targets).transpose(1, 2).flatten(0, 1)  # [rows, 4]
    gram = features.T @ features
    ridge = 1e-3 * gram.diagonal().mean() * torch.eye(len(gram), dtype=torch.float64)
    weights = torch.linalg.solve(gram + ridge, features.T @ wanted)
    random = torch.randn(weights.shape, generator=rng, dtype=torch.float64)
    weights += wildness / (features @ random).std() * random
    weights /= (features @ weights).std()
    unet.conv_out.weight.copy_(weights[:-1].T.reshape(unet.conv_out.weight.shape))
    unet.conv_out.bias.copy_(weights[-1])
    return unet
