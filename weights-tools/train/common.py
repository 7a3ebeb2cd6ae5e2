"""What every training script shares: the missing-package message, paths, seeds, the loss log, sample sheets."""

import argparse
import csv
import importlib
import os
import random
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
REPO = HERE.parent.parent


def need(*names):
    """Imports the named packages, or stops with the command that installs all of them."""
    found = []
    for name in names:
        try:
            found.append(importlib.import_module(name))
        except ImportError as error:
            sys.exit(
                f"MissingPackage: {Path(sys.argv[0]).name} needs the Python package '{name}' ({error})\n"
                f"  hint: python -m pip install -r {os.path.relpath(HERE / 'requirements.txt')}"
            )
    return found[0] if len(found) == 1 else found


def arguments(description):
    """The options that all stages have; each script adds its own."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--work", type=Path, default=REPO / ".cache" / "train", help="folder for the dataset and checkpoints")
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1 …")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads")
    parser.add_argument("--seed", type=int, default=1)
    return parser


def prepare(args):
    """Seeds the generators and sets thread counts and the fast, still accurate matmul modes."""
    torch, np = need("torch", "numpy")
    random.seed(args.seed)
    np.random.seed(args.seed)
    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    torch.backends.cuda.matmul.allow_tf32 = True
    torch.backends.cudnn.allow_tf32 = True
    args.work.mkdir(parents=True, exist_ok=True)
    return torch


class LossLog:
    """A csv file that grows by one row per interval and survives a restart."""

    def __init__(self, path, fields):
        self.fields = ["step", "seconds", *fields]
        self.start = time.time()
        fresh = not path.exists()
        self.file = open(path, "a", newline="")
        self.rows = csv.writer(self.file)
        if fresh:
            self.rows.writerow(self.fields)

    def write(self, step, *values):
        row = [step, round(time.time() - self.start, 1), *(f"{v:.6g}" for v in values)]
        self.rows.writerow(row)
        self.file.flush()
        print("  ".join(f"{k} {v}" for k, v in zip(self.fields, row)), flush=True)


def save_atomically(torch, state, path):
    """Writes beside the target and renames, so that a stop in the middle leaves the previous checkpoint whole."""
    part = path.with_suffix(".part")
    torch.save(state, part)
    os.replace(part, path)


def sheet(images, path, columns, zoom=2):
    """Tiles u8 pictures [N, H, W, 3] row by row into one PNG."""
    np = need("numpy")
    Image = need("PIL.Image")
    n, h, w, _ = images.shape
    rows = -(-n // columns)
    canvas = np.full((rows * (h + 2), columns * (w + 2), 3), 200, np.uint8)
    for i, image in enumerate(images):
        y, x = (i // columns) * (h + 2), (i % columns) * (w + 2)
        canvas[y : y + h, x : x + w] = image
    picture = Image.fromarray(canvas)
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.resize((picture.width * zoom, picture.height * zoom), Image.NEAREST).save(path)


def to_u8(torch, x):
    """Pictures f32 [N, 3, H, W] in [-1, 1] → u8 numpy [N, H, W, 3]."""
    return ((x.float().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
