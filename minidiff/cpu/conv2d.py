"""Convolution in pieces: the columns of a few images, or of a band of one, are gathered into cache and used there.

Gathering all columns at once writes and reads KH KW times the image through main memory. A piece's columns stay in cache
until its product is done. With stride 1, one row of each window is enough, with a product for each row of the kernel: a KH-th
of the memory. Backward to the input of a convolution of stride 1 is a convolution itself, of dy with the kernel turned round:
gathering is cheaper than adding columns back, and nothing is written twice.

Most convolutions of a U-Net are 3 x 3, and `winograd` is quicker for these as soon as they are not tiny.
"""

import numpy as np

from ..ops.conv2d import layout
from ..thread_team import share
from . import products, winograd
from .columns import columns, scatter_back, window_rows
from .fits import fits
from .pieces import ROWS, TASK, cut, even, image_pieces, is_lone
from .products import product
from .rows import add_row
from .scratch import scratch


def conv2d(x, w, b=None, stride=1, padding=0):
    """Fast version of `ops.conv2d`."""
    if not fits(x, w, b) or not w.size:
        return NotImplemented
    pads, OH, OW = layout(x, w, stride, padding)
    few_products = winograd.pays(len(x), OH, OW, *w.shape, stride)
    few_tiles = -(-OH // 4) * -(-OW // 4) <= winograd.LARGEST
    y = winograd.run(x, w, b, pads, OH, OW) if few_products else direct(x, w, b, stride, pads, OH, OW)

    def back(dy):  # saved: x, w
        if few_products and few_tiles:
            dx, dw, db = winograd.gradients(x, w, dy, pads)
        else:
            dx, (dw, db) = input_gradient(dy, w, x.shape, stride, pads), weight_gradients(x, dy, w.shape, stride, pads)
        return (dx, dw) if b is None else (dx, dw, db)

    return y, back


def direct(x, w, b, stride, pads, OH, OW):
    """The forward pass alone.   -> y (B, OH, OW, O)"""
    (KH, KW, C, O), B = w.shape, x.shape[0]
    by_rows = KH > 1 and stride == 1 and B * OH * OW >= ROWS
    y, wide = np.empty((B, OH, OW, O), x.dtype), w.reshape(KH, KW * C, O) if by_rows else w.reshape(KH * KW * C, O)
    lone = is_lone(B * OH * OW * w.size)
    pieces = image_pieces(B, OH, OW, KH * KW * C, O, x.itemsize, gathered=wide.shape[-2], lone=lone)

    def forward(i):
        n0, n1, i0, i1 = pieces[i]
        out = y[n0:n1, i0:i1].reshape(-1, O)  # a view: either whole images or rows of one
        if by_rows:
            rows, pixels = window_rows(x, pieces[i], KH, KW, pads, OW), (i1 - i0) * OW
            rows = rows[0] if len(rows) == 1 else rows
            _sum_of_products([(rows[..., u * OW : u * OW + pixels, :], wide[u]) for u in range(KH)], out, not lone)
        else:
            product(columns(x, pieces[i], KH, KW, stride, pads, OW), wide, out, alone=not lone)
        if b is not None:
            add_row(out, b)

    share(forward, len(pieces), lone)
    return y


def _sum_of_products(factors, out, alone):
    """out = the sum of a @ b over the pairs of `factors`.   a (P, K) or (n, P / n, K)   b (K, O)   out (P, O)"""
    term = scratch("term of a sum", out.shape, out.dtype)
    for k, (a, b) in enumerate(factors):
        into = term if k else out
        if a.ndim == 2:
            product(a, b, into, alone)
        else:
            np.matmul(a, b, out=into.reshape(*a.shape[:2], -1))
        if k:
            out += term


def weight_gradients(x, dy, shape, stride, pads):
    """dLoss/dw and dLoss/db.   x (B, H, W, C)   dy (B, OH, OW, O)   ->   dw (KH, KW, C, O), db (O,)"""
    (KH, KW, C, O), (B, OH, OW, _) = shape, dy.shape
    pieces = image_pieces(B, OH, OW, KH * KW * C, O, x.itemsize)

    def factors(piece):
        n0, n1, i0, i1 = piece
        return columns(x, piece, KH, KW, stride, pads, OW), dy[n0:n1, i0:i1].reshape(-1, O)

    dw, db = products.weight_gradients(pieces, factors, KH * KW * C, O, x.dtype)
    return dw.reshape(shape), db


def input_gradient(dy, w, shape, stride, pads):
    """dLoss/dx: a convolution, or where strides skip pixels the columns' gradients, added up where windows overlap."""
    (KH, KW, C, O), (B, OH, OW, _) = w.shape, dy.shape
    turned = tuple((k - 1 - before, k - 1 - after) for k, (before, after) in zip((KH, KW), pads, strict=True))
    if stride == 1 and min(map(min, turned)) >= 0:
        dy = np.ascontiguousarray(dy)
        if B * OH * OW < 4 * O:  # turning the kernel, number by number, then takes longer than adding up a product a tap
            return _by_taps(dy, w, shape, turned)
        around = np.ascontiguousarray(w[::-1, ::-1].transpose(0, 1, 3, 2))  # (KH, KW, O, C)
        return direct(dy, around, None, 1, turned, *shape[1:3])
    dx = np.empty(shape, dy.dtype)
    tall = w.reshape(KH * KW * C, O).T
    pieces = image_pieces(B, OH, OW, KH * KW * C, O, dy.itemsize, bands=False)

    def backward(i):
        n0, n1, _, _ = pieces[i]
        dcols = scratch("columns", ((n1 - n0) * OH * OW, KH * KW * C), dy.dtype)
        product(dy[n0:n1].reshape(-1, O), tall, dcols)
        scatter_back(dcols.reshape(n1 - n0, OH, OW, KH, KW, C), dx[n0:n1], stride, pads)

    share(backward, len(pieces))
    return dx


def _by_taps(dy, w, shape, pads):
    """The convolution of dy with the turned kernel as one product for each tap.   -> dx, of this shape"""
    (KH, KW, C, O), (B, H, W, _) = w.shape, shape
    dx, taps, last = np.empty(shape, dy.dtype), w.reshape(KH * KW, C, O), KH * KW - 1
    images = cut(B, even(B, 4 * ROWS // (H * W)))
    halves = cut(C, -(-C // 2) if B * H * W * w.size >= 32 * TASK else C)  # not of pixels: each tap is packed once

    def backward(i):
        (n0, n1), (c0, c1) = images[i // len(halves)], halves[i % len(halves)]
        cols = columns(dy, (n0, n1, 0, H), KH, KW, 1, pads, W)
        factors = [(cols[:, k * O : (k + 1) * O], taps[last - k, c0:c1].T) for k in range(KH * KW)]
        _sum_of_products(factors, dx[n0:n1].reshape(-1, C)[:, c0:c1], False)

    share(backward, len(images) * len(halves))
    return dx
