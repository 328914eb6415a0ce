"""What a Trainer can be given, checked before any work is lost."""

import numpy as np


def check(whole, warmup, grad_clip, images, labels, sample):
    """Raises ValueError or TypeError for what a Trainer cannot take.   whole: {name: what should be a whole number}"""
    for name, value in whole.items():
        optional = name.endswith("_every")
        if not (optional and value is None) and (not isinstance(value, (int, np.integer)) or value < 1):
            raise ValueError(f"{name}: got {value!r}, expected a whole number, at least 1" + (", or None" if optional else ""))
    if not isinstance(warmup, (int, np.integer)) or warmup < 0:
        raise ValueError(f"warmup: got {warmup!r}, expected a whole number of steps, at least 0")
    if grad_clip is not None and not grad_clip > 0:
        raise ValueError(f"grad_clip: got {grad_clip!r}, expected a number > 0, or None")
    if not hasattr(images, "shape") or images.ndim < 2 or len(images) == 0:
        raise ValueError(f"images: got {getattr(images, 'shape', type(images).__name__)}, expected an array (N, ...), N >= 1")
    if images.dtype.kind != "f":
        raise TypeError(f"images: got {images.dtype}, expected floats (pixels in [-1, 1])")
    if isinstance(images, np.ndarray) and not np.isfinite(images).all():
        raise ValueError(f"images: {int((~np.isfinite(images)).sum())} of {images.size} numbers are NaN or infinite")
    rows = []
    each(labels, lambda a: rows.append(len(a)))
    if any(n != len(images) for n in rows):
        raise ValueError(f"labels: got {', '.join(map(str, rows))} rows, expected one for each of {len(images)} images")
    if sample is not None and not callable(sample):
        raise TypeError(f"sample: got {type(sample).__name__}, expected a function of the trainer that returns images")


def each(labels, f):
    """f of every array of the labels, in the same arrangement."""
    if labels is None:
        return None
    if isinstance(labels, dict):
        return {name: f(a) for name, a in labels.items()}
    return tuple(map(f, labels)) if isinstance(labels, tuple) else f(labels)
