"""Twice the size, image by image on threads; and back, by adding rows and then columns in long runs."""

import numpy as np

from ..thread_team import share
from .fits import FLOATS
from .pieces import cut, even, numbers
from .scratch import scratch

SMALL = 1 << 14


def upsample_nearest(x, factor=2):
    """Fast version of `ops.upsample_nearest`, for factor 2."""
    if factor != 2 or x.dtype not in FLOATS or x.size < SMALL:
        return NotImplemented
    B, H, W, C = x.shape
    y = np.empty((B, H, 2, W, 2, C), x.dtype)
    pieces = cut(B, even(B, numbers(4 * x.size) // (4 * H * W * C)))

    def forward(i):
        b = slice(*pieces[i])
        y[b] = x[b, :, None, :, None]

    share(forward, len(pieces))

    def back(dy):
        dx, halves = np.empty_like(x), dy.reshape(B, H, 2, 2 * W, C)

        def backward(i):
            b = slice(*pieces[i])
            rows = scratch("upsample", (b.stop - b.start, H, W, 2, C), x.dtype)
            np.add(halves[b, :, 0], halves[b, :, 1], out=rows.reshape(-1, H, 2 * W, C))
            np.add(rows[:, :, :, 0], rows[:, :, :, 1], out=dx[b])

        share(backward, len(pieces))
        return dx

    return y.reshape(B, 2 * H, 2 * W, C), back
