"""What every golden script needs: the pinned packages, the folders, seeded numbers, and a byte-stable safetensors writer."""

import json
import os
import sys
from pathlib import Path

os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")  # notices about packages that no golden needs
PIP = "pip install -r weights-tools/golden/requirements.txt"

try:
    import diffusers
    import numpy as np
    import torch
    import transformers
    from safetensors.torch import load_file
except ImportError as error:
    sys.exit(f"golden: the Python package '{error.name}' is missing.\nhint: {PIP}")

ROOT = Path(__file__).resolve().parents[2]
MODELS = ROOT / "test" / "golden" / "models"
DATA = ROOT / "test" / "golden" / "data"
COMMAND = "python weights-tools/golden/make.py"

DTYPES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
}


def check_versions():
    """Warns when an installed package is not the pinned one: the goldens then differ in their last bits, or by more."""
    pinned = dict(line.split("==") for line in Path(__file__).with_name("requirements.txt").read_text().split("\n") if "==" in line and line[0] != "#")
    installed = {"torch": torch.__version__.split("+")[0], "diffusers": diffusers.__version__, "transformers": transformers.__version__, "numpy": np.__version__}
    for name, version in installed.items():
        if version != pinned[name]:
            print(f"golden: {name} is {version}, the committed files were made with {pinned[name]}.\nhint: {PIP}", file=sys.stderr)


def quiet():
    """Progress bars and config notices of the libraries are noise here."""
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    diffusers.logging.set_verbosity_error()


def seeded(seed):
    """A CPU generator. Every random number of this folder comes from one of these."""
    return torch.Generator().manual_seed(seed)


def versions():
    return {
        "command": COMMAND,
        "torch": torch.__version__.split("+")[0],
        "diffusers": diffusers.__version__,
        "transformers": transformers.__version__,
    }


def write_json(path, value, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, ensure_ascii=False, **options) + "\n", encoding="utf-8")


def save(path, tensors, metadata):
    """Writes safetensors with a fixed byte order: names keep the order of the dict within one dtype, metadata keys are sorted.

    (The library's own writer does not promise an order for the metadata, so two runs could differ in bytes.)
    """
    size = {"F64": 8, "I64": 8, "F32": 4, "I32": 4, "F16": 2, "BF16": 2}
    order = sorted(tensors, key=lambda name: -size[DTYPES[tensors[name].dtype]])  # stable: widest dtype first, as aligned as can be
    header, blobs, offset = {"__metadata__": {key: str(metadata[key]) for key in sorted(metadata)}}, [], 0
    for name in order:
        tensor = tensors[name].detach().contiguous()
        assert tensor.dtype in DTYPES, f"{name}: {tensor.dtype}"
        assert not tensor.is_floating_point() or bool(torch.isfinite(tensor).all()), f"{path.name}: {name} is not finite"
        blob = tensor.reshape(-1).view(torch.uint8).numpy().tobytes()
        header[name] = {"dtype": DTYPES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [offset, offset + len(blob)]}
        offset += len(blob)
        blobs.append(blob)
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(len(text).to_bytes(8, "little") + text + b"".join(blobs))
    back = load_file(path)
    assert all(torch.equal(back[name], tensors[name]) for name in tensors), f"{path.name} does not read back"


def save_golden(name, tensors, **metadata):
    """Writes test/golden/data/<name>.safetensors with the versions it was made with."""
    path = DATA / f"{name}.safetensors"
    save(path, tensors, {**versions(), **metadata})
    print(f"  {path.relative_to(ROOT)}  {path.stat().st_size / 1024:.0f} KiB")
