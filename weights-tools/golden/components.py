"""One forward pass a file: the inputs, the output, and the output of every block on the way, so that the first wrong layer has a name.

Everything is computed in float64 from the weights as stored on disk and cast to float32 at the end, so the goldens carry no
rounding of their own and a tolerance has to cover the engine's rounding only.
"""

import re

import torch
from diffusers import AutoencoderKL, AutoencoderTiny, UNet2DConditionModel
from transformers import CLIPTextModel, CLIPTokenizer

from common import MODELS, save_golden, seeded
from models import encode

UNET_BLOCKS = (
    r"conv_in|time_embedding|conv_norm_out|conv_out"
    r"|(down|up)_blocks\.\d+\.(resnets|attentions|downsamplers|upsamplers)\.\d+|mid_block\.(resnets|attentions)\.\d+"
)
# The parts of the first transformer block, for an error inside an attention.
UNET_DETAIL = (
    r"|down_blocks\.0\.attentions\.0\.(norm|proj_in|proj_out|transformer_blocks\.0(\.(norm[123]|attn[12]|ff))?)"
    r"|down_blocks\.0\.resnets\.0\.(norm1|conv1|time_emb_proj|norm2|conv2)"
)
TEXT_BLOCKS = r"embeddings|encoder\.layers\.\d+|final_layer_norm"
TEXT_DETAIL = r"|encoder\.layers\.0\.(layer_norm[12]|self_attn|mlp)"
VAE_BLOCKS = (
    r"quant_conv|post_quant_conv|(encoder|decoder)\.(conv_in|conv_norm_out|conv_out|mid_block\.(resnets|attentions)\.\d+"
    r"|(down|up)_blocks\.\d+\.(resnets|downsamplers|upsamplers)\.\d+)"
)
TAESD_BLOCKS = r"(encoder|decoder)\.layers\.\d+"


def record(model, pattern):
    """Hooks the modules whose full name matches; returns the dict that a forward pass fills, and a function that unhooks."""
    blocks, hooks = {}, []
    for name, module in model.named_modules():
        if re.fullmatch(pattern, name):

            def keep(_, __, output, name=name):
                output = output[0] if isinstance(output, tuple) else getattr(output, "sample", output)
                blocks[f"block.{len(blocks):03d}.{name}"] = output.to(torch.float32).clone()

            hooks.append(module.register_forward_hook(keep))
    return blocks, lambda: [hook.remove() for hook in hooks]


def normal(shape, seed):
    """Inputs are float32 numbers, so that engine and reference start from the same ones."""
    return torch.randn(*shape, generator=seeded(seed))


def unet(model, golden, batch, height, width, timestep, seed, context, blocks=UNET_BLOCKS, **metadata):
    net = UNet2DConditionModel.from_pretrained(MODELS / model / "unet").double().eval()
    sample = normal((batch, 4, height, width), seed)
    hidden = encode(MODELS / context, ["a photo of a cat", "the red house on the hill under a blue sky"][:batch])[1].float()
    found, unhook = record(net, blocks) if blocks else ({}, lambda: None)
    output = net(sample.double(), timestep, hidden.double()).sample
    unhook()
    inputs = {"input.sample": sample, "input.timestep": torch.tensor([timestep]), "input.encoder_hidden_states": hidden}
    save_golden(golden, {**inputs, **found, "output": output.float()}, model=f"{model}/unet", component="unet", output_std=f"{output.std():.3f}", **metadata)


def text_encoder(model, golden, prompts, blocks):
    tokenizer = CLIPTokenizer.from_pretrained(MODELS / model / "tokenizer")
    net = CLIPTextModel.from_pretrained(MODELS / model / "text_encoder").double().eval()
    ids = tokenizer(prompts, padding="max_length", max_length=77, truncation=True, return_tensors="pt").input_ids
    found, unhook = record(net, blocks)
    result = net(ids, output_hidden_states=True)
    unhook()
    # diffusers' clip_skip k: hidden_states[-(k+1)], then the final LayerNorm.
    skipped = {f"output.clip_skip_{k}": net.final_layer_norm(result.hidden_states[-(k + 1)]).float() for k in [1, 2]}
    assert torch.equal(net.final_layer_norm(result.hidden_states[-1]), result.last_hidden_state)
    save_golden(
        golden,
        {"input.input_ids": ids, **found, **skipped, "output": result.last_hidden_state.float()},
        model=f"{model}/text_encoder", component="text_encoder", prompts="\n".join(prompts),
    )  # fmt: skip


def vae_decoder(model, golden, batch, height, width, seed, blocks=VAE_BLOCKS):
    """input.latents are what the sampler ends with; the network gets latents / scaling_factor."""
    net = AutoencoderKL.from_pretrained(MODELS / model / "vae").double().eval()
    latents = normal((batch, 4, height, width), seed)
    found, unhook = record(net, blocks) if blocks else ({}, lambda: None)
    output = net.decode(latents.double() / net.config.scaling_factor).sample
    unhook()
    save_golden(
        golden,
        {"input.latents": latents, **found, "output": output.float()},
        model=f"{model}/vae", component="vae_decoder", scaling_factor=net.config.scaling_factor, output_range="about [-1, 1]: picture = output / 2 + 0.5, clamped",
    )  # fmt: skip


def vae_encoder(model, golden, batch, height, width, seed, blocks=VAE_BLOCKS):
    net = AutoencoderKL.from_pretrained(MODELS / model / "vae").double().eval()
    image = (torch.rand(batch, 3, height, width, generator=seeded(seed)) * 2 - 1).float()
    found, unhook = record(net, blocks) if blocks else ({}, lambda: None)
    distribution = net.encode(image.double()).latent_dist
    unhook()
    outputs = {
        "output.moments": distribution.parameters.float(),  # [mean, log variance] along the channels, unclamped
        "output": (distribution.mean * net.config.scaling_factor).float(),
    }
    save_golden(
        golden,
        {"input.image": image, **found, **outputs},
        model=f"{model}/vae", component="vae_encoder", scaling_factor=net.config.scaling_factor, input_range="[-1, 1]", output_meaning="mean * scaling_factor",
    )  # fmt: skip


def taesd(height, width, seed):
    """AutoencoderTiny: the picture is in [-1, 1] for both calls, as diffusers has it (its encoder takes (image + 1) / 2)."""
    net = AutoencoderTiny.from_pretrained(MODELS / "taesd" / "vae").double().eval()
    latents = normal((1, 4, height, width), seed)
    found, unhook = record(net, TAESD_BLOCKS)
    output = net.decode(latents.double()).sample
    unhook()
    save_golden("taesd.decoder", {"input.latents": latents, **found, "output": output.float()}, model="taesd/vae", component="taesd_decoder", output_range="about [-1, 1]")
    image = (torch.rand(1, 3, 8 * height, 8 * width, generator=seeded(seed + 1)) * 2 - 1).float()
    found, unhook = record(net, TAESD_BLOCKS)
    output = net.encode(image.double()).latents
    unhook()
    save_golden("taesd.encoder", {"input.image": image, **found, "output": output.float()}, model="taesd/vae", component="taesd_encoder", input_range="[-1, 1]")


@torch.no_grad()
def make_sd15():
    for k, model in enumerate(["sd15-strong", "sd15-weak"]):
        detail = UNET_BLOCKS + UNET_DETAIL if k == 0 else None
        unet(model, f"{model}.unet", 1, 16, 16, 501, 11, "sd15-weak", blocks=detail)
    unet("sd15-strong", "sd15-strong.unet-batch2", 2, 16, 16, 981, 12, "sd15-weak", blocks=None)
    unet("sd15-strong", "sd15-strong.unet-wide", 2, 8, 24, 21, 13, "sd15-weak", blocks=None)
    text_encoder("sd15-strong", "sd15-strong.text_encoder", ["a photo of a cat"], TEXT_BLOCKS + TEXT_DETAIL)
    vae_decoder("sd15-strong", "sd15-strong.vae_decoder", 1, 2, 3, 14)
    vae_decoder("sd15-strong", "sd15-strong.vae_decoder-odd", 2, 3, 5, 15, blocks=None)
    vae_encoder("sd15-strong", "sd15-strong.vae_encoder", 1, 16, 24, 16)
    # Not a multiple of 8: the downsamplers pad right and below, then drop what is left over.
    vae_encoder("sd15-strong", "sd15-strong.vae_encoder-odd", 1, 35, 46, 17, blocks=None)


@torch.no_grad()
def make_sd2():
    unet("sd2", "sd2.unet", 1, 8, 16, 501, 21, "sd2", blocks=UNET_BLOCKS + UNET_DETAIL)
    unet("sd2", "sd2.unet-wide", 2, 24, 8, 981, 22, "sd2", blocks=None)
    unet("sd2-weak", "sd2-weak.unet", 1, 16, 16, 261, 23, "sd2", blocks=None)
    text_encoder("sd2", "sd2.text_encoder", ["a photo of a cat"], TEXT_BLOCKS + TEXT_DETAIL)
    vae_decoder("sd2", "sd2.vae_decoder", 1, 8, 6, 24)
    vae_encoder("sd2", "sd2.vae_encoder", 1, 24, 32, 25)


@torch.no_grad()
def make_bk_tiny():
    unet("bk-tiny", "bk-tiny.unet", 1, 8, 16, 501, 31, "sd15-weak")
    unet("bk-tiny", "bk-tiny.unet-wide", 2, 8, 12, 741, 32, "sd15-weak", blocks=None)


@torch.no_grad()
def make_head40():
    unet("head40", "head40.unet", 1, 4, 6, 501, 41, "sd15-weak", blocks=UNET_BLOCKS + UNET_DETAIL)
    unet("head40", "head40.unet-odd", 1, 7, 9, 261, 42, "sd15-weak", blocks=None)


@torch.no_grad()
def make_taesd():
    taesd(2, 3, 51)


MAKERS = {"sd15": make_sd15, "sd2": make_sd2, "bk-tiny": make_bk_tiny, "head40": make_head40, "taesd": make_taesd}
