"""Which examples belong to a training step: a pure function of (seed, step), so that a resumed run sees the same batches."""

from functools import lru_cache

import numpy as np

from ..backend import xp_of
from ..rng import Rng, Stream, as_rng


def batch_indices(n, batch_size, step, seed):
    """Indices of the examples of one training step.   ->   int64 (batch_size,), each in [0, n)

    The epochs' permutations lie one after another in an endless row, and step k takes the k-th piece of it: each
    example comes once an epoch, none is dropped, and a batch may end one epoch and begin the next. Nothing is kept
    between calls but a cache.
    """
    for name, value, least in (("n", n, 1), ("batch_size", batch_size, 1), ("step", step, 0)):
        if not isinstance(value, (int, np.integer)) or value < least:
            raise ValueError(f"{name}: got {value!r}, expected a whole number, at least {least}")
    first, last = step * batch_size, (step + 1) * batch_size
    row = [_order(int(n), int(epoch), int(seed)) for epoch in range(first // n, (last - 1) // n + 1)]
    start = first % n
    return np.concatenate(row)[start : start + batch_size]


@lru_cache(maxsize=4)
def _order(n, epoch, seed):
    order = Rng(seed, stream=Stream.ORDER, step=epoch).permutation(n)
    order.setflags(write=False)
    return order


def random_flip(images, rng):
    """Each image mirrored left to right with probability 1/2.   images (B, H, W, C)   ->   (B, H, W, C), a new array"""
    xp = xp_of(images)
    flip = xp.asarray(as_rng(rng).random((len(images), 1, 1, 1))) < 0.5  # (B, 1, 1, 1)
    return xp.where(flip, images[:, :, ::-1], images)
