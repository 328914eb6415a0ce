"""Validation of a Trainer's arguments, before any training step."""

import math

import numpy as np

from ..names import check_choice
from ..tree import tree_map
from .adamw import check_adamw
from .lr import CURVES


def check_numbers(steps, batch_size, lr, curve, warmup, betas, weight_decay, grad_clip, ema_decay, checkpoint_every,
                  sample_every, **_):  # fmt: skip
    """Raises ValueError for numbers that a Trainer cannot train with: out of range, infinite, or not numbers."""
    whole = {"steps": steps, "batch_size": batch_size, "checkpoint_every": checkpoint_every, "sample_every": sample_every}
    for name, value in whole.items():
        optional = name.endswith("_every")
        if not (optional and value is None) and (not isinstance(value, (int, np.integer)) or value < 1):
            raise ValueError(f"{name}: got {value!r}, expected a whole number, at least 1" + (", or None" if optional else ""))
    if not isinstance(warmup, (int, np.integer)) or not 0 <= warmup <= steps:
        raise ValueError(f"warmup: got {warmup!r}, expected a whole number of steps, from 0 to steps = {steps}")
    check_adamw(lr, betas, weight_decay)
    if grad_clip is not None and not 0 < grad_clip < math.inf:
        raise ValueError(f"grad_clip: got {grad_clip!r}, expected a finite number > 0, or None")
    if ema_decay is not None and not 0 <= ema_decay <= 1:
        raise ValueError(f"ema_decay: got {ema_decay!r}, expected a number in [0, 1], or None")
    check_choice("curve", curve, CURVES)


def check_data(images, labels, sample):
    """Raises ValueError or TypeError for examples, labels and a sampling function that a Trainer cannot take."""
    if not hasattr(images, "shape") or images.ndim < 2 or len(images) == 0:
        raise ValueError(f"images: got {getattr(images, 'shape', type(images).__name__)}, expected an array (N, ...), N >= 1")
    if images.dtype.kind != "f":
        raise TypeError(f"images: got {images.dtype}, expected floats (pixels in [-1, 1])")
    if isinstance(images, np.ndarray) and not np.isfinite(images).all():
        raise ValueError(f"images: {int((~np.isfinite(images)).sum())} of {images.size} numbers are NaN or infinite")
    rows = []
    tree_map(lambda a: rows.append(len(a)), labels, leaf=list)
    if any(n != len(images) for n in rows):
        raise ValueError(f"labels: got {', '.join(map(str, rows))} rows, expected one for each of {len(images)} images")
    if sample is not None and not callable(sample):
        raise TypeError(f"sample: got {type(sample).__name__}, expected a function of the trainer that returns images")
