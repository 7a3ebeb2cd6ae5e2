"""Regenerates every golden file: test/golden/models/ and test/golden/data/.

    python weights-tools/golden/make.py                  everything (some minutes on two slow cores)
    python weights-tools/golden/make.py models runs      only these parts: models single-file components runs noise ids keys
    python weights-tools/golden/make.py --only sd2       only this family of models, components and runs
    python weights-tools/golden/make.py check            writes nothing: the reference loop against diffusers' own pipeline

Same versions, same processor family: same bytes. Otherwise the last bits of the activations may differ.
"""

import argparse
import time

from common import check_versions, quiet, torch

import clip_ids
import components
import full
import ldm
import models
import noise
import runs


def family(makers, only):
    def make():
        for name, maker in makers.items():
            if only in (None, name):
                maker()

    return make


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", help="default: all")
    parser.add_argument("--only", help=f"one of {' '.join(models.MAKERS)}")
    arguments = parser.parse_args()
    parts = {
        "models": family(models.MAKERS, arguments.only),
        "single-file": ldm.make,
        "components": family(components.MAKERS, arguments.only),
        "check": runs.check_against_diffusers,
        "runs": family(runs.MAKERS, arguments.only),
        "noise": noise.make,
        "ids": clip_ids.make,
        "keys": full.keys,
    }
    if unknown := set(arguments.parts) - parts.keys():
        parser.error(f"no part named {', '.join(sorted(unknown))}\nhint: the parts are {' '.join(parts)}")
    if arguments.only not in (None, *models.MAKERS):
        parser.error(f"no family named {arguments.only}\nhint: the families are {' '.join(models.MAKERS)}")
    check_versions()
    quiet()
    torch.set_num_threads(1)  # so that sums are taken in one order
    for name in arguments.parts or parts:
        started = time.time()
        print(f"{name}:")
        with torch.no_grad():
            parts[name]()
        print(f"  {time.time() - started:.0f} s")


if __name__ == "__main__":
    main()
