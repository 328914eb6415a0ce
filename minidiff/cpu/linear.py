"""The linear map, with its rows shared among threads."""

import numpy as np

from .conv2d import conv2d

SMALL = 1 << 20  # multiplications below which nothing is gained


def linear(x, w, b=None):
    """Fast version of `ops.linear`: a convolution with a kernel of one pixel, over one long image."""
    if type(w) is not np.ndarray or w.ndim != 2 or x.ndim < 2 or x.shape[-1] != w.shape[0] or x.size * w.shape[1] < SMALL:
        return NotImplemented
    rows = x.size // w.shape[0]
    answer = conv2d(x.reshape(rows, 1, 1, w.shape[0]), w[None, None], b)
    if answer is NotImplemented:
        return NotImplemented
    y, back_conv = answer

    def back(dy):
        dx, dw, *db = back_conv(dy.reshape(rows, 1, 1, -1))
        return dx.reshape(x.shape), dw.reshape(w.shape), *db

    return y.reshape(x.shape[:-1] + w.shape[1:]), back
