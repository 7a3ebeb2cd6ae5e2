"""The real sizes: key lists of SD1.5 for the tests, and one full UNet with random weights to hold the engine against.

    python weights-tools/golden/full.py keys             writes test/golden/data/sd15-keys.json (no weights)
    python weights-tools/golden/full.py unet <folder>    writes <folder>/unet (f16, 1.7 GB), <folder>/golden.safetensors; not committed
"""

import sys
from pathlib import Path

from common import DATA, PIP, check_versions, quiet, save, seeded, torch, versions, write_json

from diffusers import AutoencoderKL, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel

from models import UNET_KEYS_SD15, prune_config

UNET = dict(sample_size=64, block_out_channels=[320, 640, 1280, 1280], layers_per_block=2, cross_attention_dim=768, attention_head_dim=8, norm_num_groups=32)
VAE = dict(
    block_out_channels=[128, 256, 512, 512], layers_per_block=2, latent_channels=4, norm_num_groups=32, sample_size=512,
    down_block_types=["DownEncoderBlock2D"] * 4, up_block_types=["UpDecoderBlock2D"] * 4,
)  # fmt: skip
TEXT = dict(vocab_size=49408, hidden_size=768, intermediate_size=3072, num_hidden_layers=12, num_attention_heads=12, hidden_act="quick_gelu")
# Published counts: tensors (without position ids) and parameters.
COUNTS = {"unet": (686, 859_520_964), "vae": (248, 83_653_863), "text_encoder": (196, 123_060_480)}


def keys():
    """Names and shapes of every tensor of stock SD1.5, from the model classes on the meta device."""
    with torch.device("meta"):
        models = {"unet": UNet2DConditionModel(**UNET), "vae": AutoencoderKL(**VAE), "text_encoder": CLIPTextModel(CLIPTextConfig(**TEXT))}
    out = {**versions(), "command": "python weights-tools/golden/full.py keys"}
    for part, model in models.items():
        prefix = "text_model." if part == "text_encoder" else ""
        shapes = {prefix + name: list(tensor.shape) for name, tensor in model.state_dict().items() if not name.endswith("position_ids")}
        parameters = sum(tensor.numel() for tensor in model.parameters())
        assert (len(shapes), parameters) == COUNTS[part], f"{part}: {len(shapes)} tensors, {parameters} parameters, published {COUNTS[part]}"
        print(f"  check: {part}: {len(shapes)} tensors, {parameters} parameters, as published")
        out[part] = shapes
    write_json(DATA / "sd15-keys.json", out, separators=(",", ":"))


@torch.no_grad()
def unet(folder):
    """The random weights of randomise.py; conv_out is scaled to an output of standard deviation one."""
    with torch.device("meta"):
        net = UNet2DConditionModel(**UNET)
    net = net.to_empty(device="cpu").eval()
    from randomise import randomise

    randomise(net, 15001)  # in place, float32
    sample = torch.randn(1, 4, 64, 64, generator=seeded(15002))
    hidden = torch.nn.functional.layer_norm(torch.randn(1, 77, 768, generator=seeded(15003)), (768,))
    net.conv_out.weight /= net(sample[:, :, :32, :32], 501, hidden).sample.std()
    # Rounded to the stored dtype first: the golden belongs to what is on disk.
    for parameter in net.parameters():
        parameter.copy_(parameter.half().float())
    save_half(net, folder / "unet")
    tensors = {"input.encoder_hidden_states": hidden}
    for name, x, t in [("32", sample[:, :, :32, :32].contiguous(), 501), ("64", sample, 981)]:
        output = net(x, t, hidden).sample
        print(f"  {name}×{name}, timestep {t}: output standard deviation {output.std():.3f}, largest {output.abs().max():.2f}")
        tensors |= {f"input.sample.{name}": x, f"input.timestep.{name}": torch.tensor([t]), f"output.{name}": output}
    save(folder / "golden.safetensors", tensors, {**versions(), "command": "python weights-tools/golden/full.py unet <folder>", "computed": "float32"})


def save_half(net, folder):
    """save_pretrained of a half copy, one tensor at a time so that 3.4 GB of float32 stay the only large thing in memory."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    net.save_config(folder)
    prune_config(folder, UNET_KEYS_SD15)
    state = {name: tensor.half().contiguous() for name, tensor in net.state_dict().items()}
    save_file(state, folder / "diffusion_pytorch_model.safetensors", metadata={"format": "pt"})


if __name__ == "__main__":
    check_versions()
    quiet()
    if sys.argv[1:] == ["keys"]:
        keys()
    elif len(sys.argv) == 3 and sys.argv[1] == "unet":
        unet(Path(sys.argv[2]))
    else:
        sys.exit(__doc__.strip() + f"\n\nhint: {PIP}")
