"""The 1,797 real 8 x 8 digits that ship in the package (origin and licence: digits.md beside this file)."""

from pathlib import Path

import numpy as np


def load_digits(split):
    """split "train" (1,437), "test" (360: 36 a class) or "all"   ->   images float32 in [-1, 1] (N, 8, 8, 1), labels int64 (N,)

    Made by scripts/make_digits.py; the split is fixed and stored with the images.
    """
    with np.load(Path(__file__).with_name("digits.npz"), allow_pickle=False) as file:
        images, labels, held_out = file["images"], file["labels"], file["held_out"]
    keep = {"train": ~held_out, "test": held_out, "all": np.ones_like(held_out)}[split]
    images = images[keep][..., None].astype(np.float32) / 8 - 1  # 0 .. 16 -> -1 .. 1
    return images, labels[keep].astype(np.int64)
