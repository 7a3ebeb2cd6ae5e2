"""The tiny models, written as stock diffusers folders to test/golden/models/<name>/."""

import json
import shutil

import torch
from diffusers import AutoencoderKL, AutoencoderTiny, UNet2DConditionModel
from safetensors.torch import save_file
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from common import MODELS, seeded, write_json
from randomise import fit_unet_output, let_the_input_through, perturb, randomise
from tokenizer import write_tokenizer

PROMPTS = [
    "a photo of a cat",
    "",
    "the red house on the hill under a blue sky",
    "blurry, low quality",
    "an astronaut riding a horse on mars",
    "a bright yellow flower in the garden",
]

SCHEDULER = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "num_train_timesteps": 1000,
    "clip_sample": False,
    "set_alpha_to_one": False,
    "skip_prk_steps": True,
    "steps_offset": 1,
    "trained_betas": None,
}

# The keys that the configs in the SD1.5 repository have. Newer diffusers writes many more; readers must do with these.
UNET_KEYS_SD15 = [
    "act_fn", "attention_head_dim", "block_out_channels", "center_input_sample", "cross_attention_dim", "down_block_types",
    "downsample_padding", "flip_sin_to_cos", "freq_shift", "in_channels", "layers_per_block", "mid_block_scale_factor",
    "norm_eps", "norm_num_groups", "out_channels", "sample_size", "up_block_types",
]  # fmt: skip
UNET_KEYS_BK = [*UNET_KEYS_SD15, "mid_block_type"]
UNET_KEYS_SD2 = [*UNET_KEYS_SD15, "dual_cross_attention", "only_cross_attention", "num_class_embeds", "upcast_attention", "use_linear_projection"]
VAE_KEYS_SD15 = [
    "act_fn", "block_out_channels", "down_block_types", "in_channels", "latent_channels", "layers_per_block",
    "norm_num_groups", "out_channels", "sample_size", "up_block_types",
]  # fmt: skip
VAE_KEYS_SD2 = [*VAE_KEYS_SD15, "scaling_factor"]


def alphas():
    """Cumulative products of the SD schedule, float64 [1000]."""
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
    return torch.cumprod(1 - betas, 0)


def prune_config(folder, keys):
    path = folder / "config.json"
    config = json.loads(path.read_text())
    write_json(path, {key: config[key] for key in ["_class_name", "_diffusers_version", *sorted(keys)]}, indent=2)


def save_unet(unet, folder, dtype, keys):
    unet.to(dtype).save_pretrained(folder)
    prune_config(folder, keys)


def save_vae(vae, folder, dtype, keys):
    vae.to(dtype).save_pretrained(folder)
    prune_config(folder, keys)


def save_text_encoder(text, folder, dtype, activation):
    """As on the hub: every key starts with `text_model.` (transformers 5 drops that when it saves, and adds it back on loading)."""
    folder.mkdir(parents=True, exist_ok=True)
    state = {f"text_model.{name}": tensor.to(dtype).contiguous() for name, tensor in text.state_dict().items() if not name.endswith("position_ids")}
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    c = text.config
    write_json(
        folder / "config.json",
        {
            "architectures": ["CLIPTextModel"],
            "attention_dropout": 0.0,
            # The legacy ids of the SD repositories. They are wrong there too: bos and eos are the last two of the vocabulary.
            "bos_token_id": 0,
            "dropout": 0.0,
            "eos_token_id": 2,
            "hidden_act": activation,
            "hidden_size": c.hidden_size,
            "initializer_factor": 1.0,
            "initializer_range": 0.02,
            "intermediate_size": c.intermediate_size,
            "layer_norm_eps": 1e-05,
            "max_position_embeddings": 77,
            "model_type": "clip_text_model",
            "num_attention_heads": c.num_attention_heads,
            "num_hidden_layers": c.num_hidden_layers,
            "pad_token_id": 1,
            "projection_dim": c.projection_dim,
            "torch_dtype": str(dtype).removeprefix("torch."),
            "vocab_size": c.vocab_size,
        },
        indent=2,
    )


def save_pipeline_files(folder, scheduler_class, extra=None):
    write_json(folder / "scheduler" / "scheduler_config.json", {"_class_name": scheduler_class, "_diffusers_version": "0.8.0", **SCHEDULER, **(extra or {})}, indent=2)
    write_json(
        folder / "model_index.json",
        {
            "_class_name": "StableDiffusionPipeline",
            "_diffusers_version": "0.6.0",
            "feature_extractor": [None, None],
            "safety_checker": [None, None],
            "scheduler": ["diffusers", scheduler_class],
            "text_encoder": ["transformers", "CLIPTextModel"],
            "tokenizer": ["transformers", "CLIPTokenizer"],
            "unet": ["diffusers", "UNet2DConditionModel"],
            "vae": ["diffusers", "AutoencoderKL"],
        },
        indent=2,
    )


def make_text_encoder(vocab, seed, hidden, layers, heads, activation):
    config = CLIPTextConfig(
        vocab_size=vocab, hidden_size=hidden, intermediate_size=4 * hidden, num_hidden_layers=layers, num_attention_heads=heads,
        hidden_act=activation, projection_dim=hidden, bos_token_id=0, eos_token_id=2, pad_token_id=1,
    )  # fmt: skip
    return randomise(CLIPTextModel(config).double().eval(), seed, sharpness=2.0)


@torch.no_grad()
def make_vae(seed, channels, groups, scaling):
    """Random autoencoder; the last layer of each half is scaled so that latents and pictures have the usual size."""
    levels = len(channels)
    vae = AutoencoderKL(
        block_out_channels=channels, norm_num_groups=groups, latent_channels=4, layers_per_block=2, sample_size=128, scaling_factor=scaling,
        down_block_types=["DownEncoderBlock2D"] * levels, up_block_types=["UpDecoderBlock2D"] * levels,
    ).double().eval()  # fmt: skip
    randomise(vae, seed)
    picture = torch.rand(1, 3, 64, 64, generator=seeded(seed + 1), dtype=torch.float64) * 2 - 1
    moments = vae.encode(picture).latent_dist.parameters
    vae.quant_conv.weight[:4] /= moments[:, :4].std() * scaling  # mean · scaling_factor of standard deviation 1
    vae.quant_conv.weight[4:] *= 0.5
    vae.post_quant_conv.weight *= 1.5 * scaling  # otherwise the residual stream drowns its branches
    latents = torch.randn(1, 4, 8, 8, generator=seeded(seed + 2), dtype=torch.float64) / scaling
    decoded = vae.decode(latents).sample
    vae.decoder.conv_out.weight *= 0.4 / decoded.std()
    return vae


@torch.no_grad()
def encode(folder, prompts, dtype=torch.float64):
    """Ids and last hidden states of `prompts`, with the tokenizer and text encoder as stored in `folder`."""
    tokenizer = CLIPTokenizer.from_pretrained(folder / "tokenizer")
    text = CLIPTextModel.from_pretrained(folder / "text_encoder").to(dtype).eval()
    ids = tokenizer(prompts, padding="max_length", max_length=77, truncation=True, return_tensors="pt").input_ids
    return ids, text(ids).last_hidden_state


def make_sd15():
    """sd15-weak and sd15-strong: the SD1.5 architecture with 4 levels, f16, one shared autoencoder, text encoder and tokenizer."""
    weak, strong = MODELS / "sd15-weak", MODELS / "sd15-strong"
    vocab = write_tokenizer(weak / "tokenizer")
    save_text_encoder(make_text_encoder(vocab, 1001, hidden=32, layers=3, heads=2, activation="quick_gelu"), weak / "text_encoder", torch.float16, "quick_gelu")
    save_vae(make_vae(1002, [8, 12, 16, 16], groups=4, scaling=0.18215), weak / "vae", torch.float16, VAE_KEYS_SD15)
    save_pipeline_files(weak, "PNDMScheduler")
    contexts = encode(weak, PROMPTS)[1]

    def unet():
        return UNet2DConditionModel(
            sample_size=16, block_out_channels=[8, 16, 24, 24], norm_num_groups=4, cross_attention_dim=32, attention_head_dim=2, layers_per_block=2
        ).double().eval()  # fmt: skip

    made = randomise(unet(), 1003)
    let_the_input_through(made)
    fit_unet_output(made, contexts, alphas(), 1004)
    for part in ["tokenizer", "text_encoder", "vae", "scheduler"]:
        shutil.copytree(weak / part, strong / part, dirs_exist_ok=True)
    shutil.copy(weak / "model_index.json", strong / "model_index.json")
    state = {name: tensor.clone() for name, tensor in made.state_dict().items()}
    save_unet(made, weak / "unet", torch.float16, UNET_KEYS_SD15)

    # The strong model differs in the middle, on the way up, and in what it reads from the prompt; the rest is byte for byte the same.
    other = unet()
    other.load_state_dict(state)
    perturb(other, 1005, 0.2, lambda name: name.startswith(("mid_block", "up_blocks")) or ".attn2." in name)
    # (the identity of let_the_input_through is restored: noise on it would grow with the latents)
    other.up_blocks[-1].resnets[-1].conv_shortcut.weight.data.copy_(state["up_blocks.3.resnets.2.conv_shortcut.weight"])
    fit_unet_output(other, contexts, alphas(), 1006)
    save_unet(other, strong / "unet", torch.float16, UNET_KEYS_SD15)


def make_sd2():
    """sd2 and sd2-weak: linear projections, heads per level, gelu, v-prediction, f32, a 3-level autoencoder, `!` as padding."""
    folder, weak = MODELS / "sd2", MODELS / "sd2-weak"
    vocab = write_tokenizer(folder / "tokenizer", pad="!")
    save_text_encoder(make_text_encoder(vocab, 2001, hidden=24, layers=2, heads=3, activation="gelu"), folder / "text_encoder", torch.float32, "gelu")
    save_vae(make_vae(2002, [4, 8, 8], groups=2, scaling=0.25), folder / "vae", torch.float32, VAE_KEYS_SD2)
    save_pipeline_files(folder, "DDIMScheduler", {"prediction_type": "v_prediction"})
    contexts = encode(folder, PROMPTS)[1]
    for target, seed in [(folder, 2003), (weak, 2005)]:
        unet = UNet2DConditionModel(
            sample_size=16, block_out_channels=[8, 8, 12, 12], norm_num_groups=4, cross_attention_dim=24, attention_head_dim=[1, 2, 3, 3],
            layers_per_block=2, use_linear_projection=True, upcast_attention=True,
        ).double().eval()  # fmt: skip
        randomise(unet, 2003)
        perturb(unet, seed, 0.0 if target == folder else 0.2, lambda name: name.startswith(("mid_block", "up_blocks")))
        let_the_input_through(unet)
        fit_unet_output(unet, contexts, alphas(), seed + 1, prediction="v_prediction")
        save_unet(unet, target / "unet", torch.float32, UNET_KEYS_SD2)
    shutil.copytree(folder / "scheduler", weak / "scheduler", dirs_exist_ok=True)


def make_bk_tiny():
    """bk-tiny: one layer a block, three levels, all with attention, no middle; bf16; reads sd15's latents and prompts."""
    contexts = encode(MODELS / "sd15-weak", PROMPTS)[1]
    unet = UNet2DConditionModel(
        sample_size=16, block_out_channels=[16, 24, 24], norm_num_groups=8, cross_attention_dim=32, attention_head_dim=2, layers_per_block=1,
        mid_block_type=None, down_block_types=["CrossAttnDownBlock2D"] * 3, up_block_types=["CrossAttnUpBlock2D"] * 3,
    ).double().eval()  # fmt: skip
    randomise(unet, 3001)
    let_the_input_through(unet)
    fit_unet_output(unet, contexts, alphas(), 3002)
    save_unet(unet, MODELS / "bk-tiny" / "unet", torch.bfloat16, UNET_KEYS_BK)


def make_head40():
    """head40: one level, heads 40 wide as in SD1.5's first level, 5 channels a norm group: no power of two helps here."""
    contexts = encode(MODELS / "sd15-weak", PROMPTS)[1]
    unet = UNet2DConditionModel(
        sample_size=16, block_out_channels=[40], norm_num_groups=8, cross_attention_dim=32, attention_head_dim=1, layers_per_block=1,
        mid_block_type=None, down_block_types=["CrossAttnDownBlock2D"], up_block_types=["CrossAttnUpBlock2D"],
    ).double().eval()  # fmt: skip
    randomise(unet, 4001)
    let_the_input_through(unet)
    fit_unet_output(unet, contexts, alphas(), 4002)
    save_unet(unet, MODELS / "head40" / "unet", torch.float16, UNET_KEYS_BK)


def make_mini():
    """mini: a smaller SD1.5-shaped UNet for the single file with EMA weights; its other parts are sd15's."""
    unet = UNet2DConditionModel(
        sample_size=16, block_out_channels=[8, 8, 8, 8], norm_num_groups=4, cross_attention_dim=32, attention_head_dim=2, layers_per_block=2
    ).double().eval()  # fmt: skip
    save_unet(randomise(unet, 6001), MODELS / "mini" / "unet", torch.float16, UNET_KEYS_SD15)


@torch.no_grad()
def make_taesd():
    """taesd: AutoencoderTiny with 8 channels, f16. Its latents are already scaled and diffusers' wrapper keeps its pictures in [-1, 1]."""
    vae = randomise(AutoencoderTiny(encoder_block_out_channels=(8, 8, 8, 8), decoder_block_out_channels=(8, 8, 8, 8)).double().eval(), 5001)
    picture = torch.rand(1, 3, 64, 64, generator=seeded(5002), dtype=torch.float64) * 2 - 1
    vae.encoder.layers[-1].weight /= vae.encode(picture).latents.std()
    decoded = vae.decode(torch.randn(1, 4, 8, 8, generator=seeded(5003), dtype=torch.float64)).sample
    vae.decoder.layers[-1].weight *= 0.5 / decoded.std()
    vae.half().save_pretrained(MODELS / "taesd" / "vae")


MAKERS = {"sd15": make_sd15, "sd2": make_sd2, "bk-tiny": make_bk_tiny, "head40": make_head40, "mini": make_mini, "taesd": make_taesd}
