"""Convolution in pieces: the columns of a few images, or of a band of one, are gathered into cache and used there.

Gathering all columns at once writes and reads KH KW times the image through main memory. A piece's columns stay in
cache until its product is done. Backward to the input of a convolution of stride 1 is a convolution itself, of dy with
the kernel turned round: gathering is cheaper than adding columns back, and nothing is written twice.

Most convolutions of a U-Net are 3 x 3, and `winograd` is quicker for these as soon as they are not tiny.
"""

import numpy as np

from ..ops.conv2d import layout
from ..thread_team import share
from . import products, winograd
from .columns import columns, scatter_back
from .fits import fits
from .pieces import image_pieces
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
    y = np.empty((B, OH, OW, O), x.dtype)
    wide = w.reshape(KH * KW * C, O)
    pieces = image_pieces(B, OH, OW, KH * KW * C, O, x.itemsize)

    def forward(i):
        n0, n1, i0, i1 = pieces[i]
        out = y[n0:n1, i0:i1].reshape(-1, O)  # a view: either whole images or rows of one
        product(columns(x, pieces[i], KH, KW, stride, pads, OW), wide, out)
        if b is not None:
            add_row(out, b)

    share(forward, len(pieces))
    return y


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
    few = B * OH * OW < 2 * O  # turning the kernel, number by number, then takes longer than adding columns back
    if stride == 1 and min(map(min, turned)) >= 0 and not few:
        around = np.ascontiguousarray(w[::-1, ::-1].transpose(0, 1, 3, 2))  # (KH, KW, O, C)
        return direct(np.ascontiguousarray(dy), around, None, 1, turned, *shape[1:3])
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
