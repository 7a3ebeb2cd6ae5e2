"""Puts a trained stage into models/emoji-STAGE in diffusers layout and proves that diffusers loads and samples it.

    python export.py weak strong [--check]

All weights are f16. Tokenizer, text encoder and VAE are copied as bytes, so the folders share them exactly.
"""

import json
import shutil
from pathlib import Path

from common import REPO, arguments, need, prepare
from nets import make_scheduler

np, diffusers, safetensors = need("numpy", "diffusers", "safetensors.torch")

SHARED = ("tokenizer", "text_encoder", "vae")
#: Written into every folder: what a stock Stable Diffusion 1.5 repository has, without the safety checker.
INDEX = {
    "_class_name": "StableDiffusionPipeline",
    "_diffusers_version": diffusers.__version__,
    "feature_extractor": [None, None],
    "requires_safety_checker": False,
    "safety_checker": [None, None],
    "scheduler": ["diffusers", "DDIMScheduler"],
    "text_encoder": ["transformers", "CLIPTextModel"],
    "tokenizer": ["transformers", "CLIPTokenizer"],
    "unet": ["diffusers", "UNet2DConditionModel"],
    "vae": ["diffusers", "AutoencoderKL"],
}


def portable(folder):
    """Drops the build machine's path that save_pretrained writes into configs."""
    for path in folder.rglob("config.json"):
        config = json.loads(path.read_text())
        config.pop("_name_or_path", None)
        # The newer spelling of the same; both transformers 4 and 5 read this one.
        if "dtype" in config:
            config["torch_dtype"] = config.pop("dtype")
        path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


def stock_names(path):
    """Gives the text encoder's tensors the prefix `text_model.` that stock checkpoints have and transformers 5 omits."""
    tensors = safetensors.load_file(path)
    renamed = {k if k.startswith("text_model.") else f"text_model.{k}": v for k, v in tensors.items() if not k.endswith("position_ids")}
    safetensors.save_file(renamed, path, {"format": "pt"})


def export(work, stage, target):
    target.mkdir(parents=True, exist_ok=True)
    for part in SHARED:
        shutil.copytree(work / part, target / part, dirs_exist_ok=True)
    shutil.copytree(work / stage, target / "unet", dirs_exist_ok=True)
    make_scheduler().save_pretrained(target / "scheduler")
    (target / "model_index.json").write_text(json.dumps(INDEX, indent=2) + "\n")
    stock_names(target / "text_encoder" / "model.safetensors")
    portable(target)
    for path in target.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)


def check(torch, folder, picture):
    pipe = diffusers.StableDiffusionPipeline.from_pretrained(folder, safety_checker=None, torch_dtype=torch.float32)
    pipe.set_progress_bar_config(disable=True)
    generator = torch.Generator().manual_seed(0)
    image = pipe("red heart, gradient style", num_inference_steps=25, guidance_scale=4.0, height=64, width=64, generator=generator).images[0]
    image.save(picture)
    print(f"{folder.name}: diffusers loads it and drew {image.size[0]}×{image.size[1]}, mean {np.asarray(image).mean():.1f}")


def main():
    parser = arguments(__doc__)
    parser.add_argument("stages", nargs="+", choices=["weak", "strong"])
    parser.add_argument("--models", type=Path, default=REPO / "models")
    parser.add_argument("--check", action="store_true", help="load the result with diffusers and draw one picture")
    args = parser.parse_args()
    torch = prepare(args)
    for stage in args.stages:
        target = args.models / f"emoji-{stage}"
        export(args.work, stage, target)
        if args.check:
            check(torch, target, args.work / f"check-{stage}.png")
    total = sum(f.stat().st_size for f in args.models.rglob("*") if f.is_file())
    print(f"{args.models.name}: {total / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
