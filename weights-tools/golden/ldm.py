"""Single-file (LDM) checkpoints, made from the diffusers folders by turning the key map round, and proved with diffusers' own converters."""

import json
import re
import shutil

import torch
from diffusers.loaders.single_file_utils import (
    convert_ldm_clip_checkpoint,
    convert_ldm_unet_checkpoint,
    convert_ldm_vae_checkpoint,
    convert_open_clip_checkpoint,
    load_single_file_checkpoint,
)
from safetensors.torch import load_file
from transformers import CLIPTextModel

from common import MODELS, ROOT, save, seeded
from models import alphas

UNET_PREFIX = "model.diffusion_model."
VAE_PREFIX = "first_stage_model."
TEXT_PREFIX = "cond_stage_model.transformer."
OPEN_CLIP_PREFIX = "cond_stage_model.model."

RESNET = {"norm1": "in_layers.0", "conv1": "in_layers.2", "time_emb_proj": "emb_layers.1", "norm2": "out_layers.0", "conv2": "out_layers.3", "conv_shortcut": "skip_connection"}
UNET_ENDS = {
    "time_embedding.linear_1": "time_embed.0", "time_embedding.linear_2": "time_embed.2",
    "conv_in": "input_blocks.0.0", "conv_norm_out": "out.0", "conv_out": "out.2",
}  # fmt: skip
VAE_ATTENTION = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}


def unet_key(name, layers):
    """diffusers → LDM, without the prefix. layers: layers_per_block."""
    path, leaf = name.rsplit(".", 1)
    if path in UNET_ENDS:
        return f"{UNET_ENDS[path]}.{leaf}"
    if match := re.fullmatch(r"mid_block\.(resnets|attentions)\.(\d)\.(.*)", path):
        kind, k, rest = match.groups()
        index = 1 if kind == "attentions" else 2 * int(k)
        return f"middle_block.{index}.{RESNET[rest] if kind == 'resnets' else rest}.{leaf}"
    side, block, kind, k, rest = re.fullmatch(r"(down|up)_blocks\.(\d)\.(resnets|attentions|downsamplers|upsamplers)\.(\d)\.(.*)", path).groups()
    block, k = int(block), int(k)
    if side == "down":
        if kind == "downsamplers":
            return f"input_blocks.{(block + 1) * (layers + 1)}.0.op.{leaf}"
        index = 1 + block * (layers + 1) + k
        return f"input_blocks.{index}." + (f"0.{RESNET[rest]}.{leaf}" if kind == "resnets" else f"1.{rest}.{leaf}")
    if kind == "upsamplers":  # behind the attention if the block has one; up block 0 of SD1.5 has none
        return f"output_blocks.{block * (layers + 1) + layers}.UP.conv.{leaf}"
    index = block * (layers + 1) + k
    return f"output_blocks.{index}." + (f"0.{RESNET[rest]}.{leaf}" if kind == "resnets" else f"1.{rest}.{leaf}")


def unet_to_ldm(state, layers=2):
    keys = {name: unet_key(name, layers) for name in state}
    attended = {key.split(".")[1] for key in keys.values() if re.match(r"output_blocks\.\d+\.1\.", key)}
    place = lambda key: re.sub(r"^output_blocks\.(\d+)\.UP", lambda m: f"output_blocks.{m[1]}.{2 if m[1] in attended else 1}", key)
    return {UNET_PREFIX + place(key): state[name] for name, key in keys.items()}


def vae_key(name, levels):
    path, leaf = name.rsplit(".", 1)
    if path in ("quant_conv", "post_quant_conv"):
        return f"{path}.{leaf}"
    half, rest = path.split(".", 1)
    if rest in ("conv_in", "conv_out", "conv_norm_out"):
        return f"{half}.{'norm_out' if rest == 'conv_norm_out' else rest}.{leaf}"
    if match := re.fullmatch(r"mid_block\.resnets\.(\d)\.(.*)", rest):
        return f"{half}.mid.block_{int(match[1]) + 1}.{match[2]}.{leaf}"
    if match := re.fullmatch(r"mid_block\.attentions\.0\.(.*)", rest):
        return f"{half}.mid.attn_1.{VAE_ATTENTION[match[1]]}.{leaf}"
    side, block, kind, k, inner = re.fullmatch(r"(down|up)_blocks\.(\d)\.(resnets|downsamplers|upsamplers)\.(\d)\.(.*)", rest).groups()
    block = int(block) if side == "down" else levels - 1 - int(block)
    if kind != "resnets":
        return f"{half}.{side}.{block}.{side}sample.conv.{leaf}"
    return f"{half}.{side}.{block}.block.{k}.{inner.replace('conv_shortcut', 'nin_shortcut')}.{leaf}"


def vae_to_ldm(state, levels):
    """The attention's matrices are 1×1 convolutions over there."""
    out = {}
    for name, tensor in state.items():
        if re.search(r"mid_block\.attentions\.0\.to_.*weight$", name):
            tensor = tensor[:, :, None, None]
        out[VAE_PREFIX + vae_key(name, levels)] = tensor
    return out


def text_to_ldm(state, with_text_model):
    """Real files also hold the position ids, as I64; some merges lost the `text_model.` level."""
    state = {**state, "text_model.embeddings.position_ids": torch.arange(77)[None]}
    return {TEXT_PREFIX + (name if with_text_model else name.removeprefix("text_model.")): tensor for name, tensor in state.items()}


def open_clip_key(name):
    """diffusers → OpenCLIP, for everything but q, k and v."""
    name = name.removeprefix("text_model.")
    ends = {
        "embeddings.position_embedding.weight": "positional_embedding",
        "embeddings.token_embedding.weight": "token_embedding.weight",
        "final_layer_norm.weight": "ln_final.weight",
        "final_layer_norm.bias": "ln_final.bias",
    }
    if name in ends:
        return ends[name]
    inner = [("encoder.layers.", "transformer.resblocks."), ("layer_norm1", "ln_1"), ("layer_norm2", "ln_2"), ("fc1", "c_fc"), ("fc2", "c_proj"), ("self_attn", "attn")]
    for old, new in inner:
        name = name.replace(old, new)
    return name


def text_to_open_clip(state):
    """q, k and v stacked to one matrix [3d, d]; plus what SD2's files hold and nobody needs: layer 23 and the projection."""
    out = {}
    for name, tensor in state.items():
        if match := re.fullmatch(r"(.*self_attn)\.([qkv])_proj\.(weight|bias)", name):
            if match[2] == "q":
                stacked = torch.cat([state[f"{match[1]}.{part}_proj.{match[3]}"] for part in "qkv"])
                out[OPEN_CLIP_PREFIX + open_clip_key(f"{match[1]}.in_proj_{match[3]}")] = stacked
        else:
            out[OPEN_CLIP_PREFIX + open_clip_key(name)] = tensor
    first = OPEN_CLIP_PREFIX + "transformer.resblocks.0."
    out |= {key.replace("resblocks.0.", "resblocks.23."): -tensor for key, tensor in out.items() if key.startswith(first)}
    width = state["text_model.final_layer_norm.weight"].numel()
    out[OPEN_CLIP_PREFIX + "text_projection"] = torch.randn(width, width, generator=seeded(2099))
    out[OPEN_CLIP_PREFIX + "logit_scale"] = torch.tensor(4.6052)
    return out


def schedule_buffers():
    """What a training checkpoint carries besides weights; readers must pass over it."""
    a = alphas()
    return {
        "alphas_cumprod": a.float(), "betas": (1 - a / torch.cat([a.new_ones(1), a[:-1]])).float(),
        "sqrt_alphas_cumprod": a.sqrt().float(), "log_one_minus_alphas_cumprod": (1 - a).log().float(),
        "posterior_variance": (1 - a).float(), "logvar": torch.zeros(1000),
        "cond_stage_model.logit_scale": torch.tensor(4.6052),
    }  # fmt: skip


def parts(unet, rest):
    return (
        load_file(MODELS / unet / "unet" / "diffusion_pytorch_model.safetensors"),
        load_file(MODELS / rest / "vae" / "diffusion_pytorch_model.safetensors"),
        load_file(MODELS / rest / "text_encoder" / "model.safetensors"),
    )


def config_of(folder):
    return json.loads((MODELS / folder / "config.json").read_text())


def write_single(name, unet_name, rest, with_text_model, ema=None):
    unet, vae, text = parts(unet_name, rest)
    levels = len(config_of(f"{rest}/vae")["block_out_channels"])
    ldm = {**unet_to_ldm(unet), **vae_to_ldm(vae, levels), **text_to_ldm(text, with_text_model), **schedule_buffers()}
    if ema is not None:
        # model_ema. + the key without its dots, `model.` itself excepted; values a little off the others, so that a mix-up shows.
        rng = seeded(ema)
        for key in [key for key in ldm if key.startswith(UNET_PREFIX)]:
            drift = 0.05 * torch.randn(ldm[key].shape, generator=rng)
            ldm["model_ema." + key.removeprefix("model.").replace(".", "")] = (ldm[key].float() + drift).to(ldm[key].dtype)
        ldm["model_ema.decay"] = torch.tensor(0.9999)
        ldm["model_ema.num_updates"] = torch.tensor(12345, dtype=torch.int32)
    path = MODELS / "single-file" / f"{name}.safetensors"
    save(path, ldm, {"format": "pt", "modelspec.architecture": "stable-diffusion-v1", "modelspec.title": f"tiny {name}"})
    # Readers infer the architecture from SD1.5's real sizes; a tiny file needs the configs of its folder twin beside it.
    configs = MODELS / "single-file" / f"{name}.config"
    for part, source in [("unet", unet_name), ("vae", rest), ("text_encoder", rest)]:
        (configs / part).mkdir(parents=True, exist_ok=True)
        shutil.copy(MODELS / source / part / "config.json", configs / part / "config.json")
    shutil.copytree(MODELS / rest / "tokenizer", configs / "tokenizer", dirs_exist_ok=True)
    shutil.copytree(MODELS / rest / "scheduler", configs / "scheduler", dirs_exist_ok=True)
    print(f"  {path.relative_to(ROOT)}  {path.stat().st_size / 1024:.0f} KiB, {len(ldm)} tensors")
    prove(path, unet, vae, text, config_of(f"{unet_name}/unet"), config_of(f"{rest}/vae"), with_text_model, ema is not None)


def prove(path, unet, vae, text, unet_config, vae_config, with_text_model, has_ema):
    """diffusers' converters must give back the folder's tensors, name for name and bit for bit."""

    def same(what, found, wanted):
        missing, extra = wanted.keys() - found.keys(), found.keys() - wanted.keys()
        assert not missing and not extra, f"{path.name}: {what}: missing {sorted(missing)[:3]}, extra {sorted(extra)[:3]}"
        for key in wanted:
            assert found[key].shape == wanted[key].shape and torch.equal(found[key], wanted[key]), f"{path.name}: {what}: {key} differs"
        print(f"  check: {path.name}: diffusers maps {len(wanted)} {what} tensors back exactly")

    load = lambda: load_single_file_checkpoint(str(path), local_files_only=True)
    same("UNet", convert_ldm_unet_checkpoint(load(), unet_config), unet)
    same("VAE", convert_ldm_vae_checkpoint(load(), vae_config), vae)
    found = convert_ldm_clip_checkpoint(load())
    found = {(key if key.startswith("text_model.") else f"text_model.{key}"): tensor for key, tensor in found.items() if not key.endswith("position_ids")}
    same("text", found, text)
    if has_ema:
        averaged = convert_ldm_unet_checkpoint(load(), unet_config, extract_ema=True)
        assert averaged.keys() == unet.keys() and all(tensor is not None for tensor in averaged.values())
        assert all(not torch.equal(averaged[key], unet[key]) for key in unet), "some EMA tensor equals the plain one"
        print(f"  check: {path.name}: diffusers finds {len(averaged)} EMA tensors, all different from the plain ones")


def write_open_clip(name, source):
    """SD2's text encoder alone, under its single-file names."""
    state = load_file(MODELS / source / "text_encoder" / "model.safetensors")
    path = MODELS / "single-file" / f"{name}.safetensors"
    save(path, text_to_open_clip(state), {"format": "pt"})
    model = CLIPTextModel.from_pretrained(MODELS / source / "text_encoder")
    found = convert_open_clip_checkpoint(model, load_single_file_checkpoint(str(path), local_files_only=True))
    assert found.keys() == state.keys() and all(torch.equal(found[key], state[key]) for key in state)
    print(f"  check: {path.name}: diffusers maps {len(found)} OpenCLIP tensors back exactly")


def make():
    write_open_clip("sd2-text-openclip", "sd2")
    write_single("sd15-strong", "sd15-strong", "sd15-strong", with_text_model=True)
    write_single("mini-ema", "mini", "sd15-weak", with_text_model=False, ema=6002)
