"""The linear map, with its rows shared among threads."""

import functools

import numpy as np

from ..thread_team import share
from .fits import fits
from .pieces import image_pieces, is_lone
from .products import product, weight_gradients
from .rows import add_row

SMALL = 1 << 20  # multiplications below which nothing is gained


def linear(x, w, b=None):
    """Fast version of `ops.linear`."""
    if x.ndim < 2 or x.size * w.shape[1] < SMALL:
        return NotImplemented
    (I, O), rows = w.shape, x.reshape(-1, w.shape[0])  # (R, I)
    if not fits(rows, w, b):
        return NotImplemented
    y = _times(rows, w, b, is_lone(len(rows) * w.size))

    def back(dy):  # saved: x, w
        drows = dy.reshape(-1, O)  # (R, O)
        if len(drows) < 2 * O:  # turning the matrix takes longer than reading it the wrong way round
            dx = _times(drows, w.T)
        else:
            dx = _times(np.ascontiguousarray(drows), np.ascontiguousarray(w.T))
        pieces = _pieces(len(rows), I, O, x.itemsize)
        dw, db = weight_gradients(pieces, lambda some: (rows[some], drows[some]), I, O, x.dtype)
        return (dx.reshape(x.shape), dw) if b is None else (dx.reshape(x.shape), dw, db)

    return y.reshape((*x.shape[:-1], O)), back


def _times(rows, w, b=None, lone=False):
    """rows @ w + b.   rows (R, I)   w (I, O)   b (O,) or None   ->   (R, O)"""
    y, pieces = np.empty((len(rows), w.shape[1]), rows.dtype), _pieces(len(rows), *w.shape, rows.itemsize, lone)

    def forward(i):
        product(rows[pieces[i]], w, y[pieces[i]], alone=len(pieces) == 1 and not lone)
        if b is not None:
            add_row(y[pieces[i]], b)

    share(forward, len(pieces), lone)
    return y


@functools.lru_cache(256)
def _pieces(R, I, O, itemsize, lone=False):
    """R rows in slices: those of a convolution over as many images of one pixel."""
    return [slice(n0, n1) for n0, n1, _, _ in image_pieces(R, 1, 1, I, O, itemsize, bands=False, lone=lone)]
