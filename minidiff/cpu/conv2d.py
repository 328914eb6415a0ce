"""Convolution in pieces: the columns of a few images, or of a band of one, are gathered into cache and used there.

Gathering all columns at once writes and reads KH KW times the image through main memory. A piece's columns stay in
cache until its product is done. Backward to the input of a convolution of stride 1 is a convolution itself, of dy with
the kernel turned round: gathering is cheaper than adding columns back, and nothing is written twice.

Most convolutions of a U-Net are 3 x 3, and `winograd` is quicker for these as soon as they are not tiny.
"""

import numpy as np

from ..thread_team import share
from . import winograd
from .columns import TASK, columns, image_pieces, scatter_back
from .pieces import cut, lanes
from .rows import add_row
from .scratch import ones, scratch


def conv2d(x, w, b=None, stride=1, padding=0):
    """Fast version of `ops.conv2d`."""
    pads = ((padding, padding), (padding, padding)) if type(padding) is int else padding
    if not _fits(x, w, b, stride, pads):
        return NotImplemented
    KH, KW, C, O = w.shape
    B = x.shape[0]
    OH, OW = ((n + sum(pad) - k) // stride + 1 for n, pad, k in zip(x.shape[1:3], pads, (KH, KW), strict=True))
    if OH < 1 or OW < 1:
        return NotImplemented
    few_products = winograd.pays(B, OH, OW, KH, KW, C, O, stride)
    y = winograd.run(x, w, b, pads, OH, OW) if few_products else direct(x, w, b, stride, pads, OH, OW)

    def back(dy):  # saved: x, w
        if few_products and y_tiles <= winograd.LARGEST:
            dx, dw, db = winograd.gradients(x, w, dy, pads)
        else:
            dx, (dw, db) = input_gradient(dy, w, x.shape, stride, pads), weight_gradients(x, dy, w.shape, stride, pads)
        return (dx, dw) if b is None else (dx, dw, db)

    y_tiles = -(-OH // 4) * -(-OW // 4)
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

    each_piece(forward, len(pieces))
    return y


def weight_gradients(x, dy, shape, stride, pads):
    """dLoss/dw and dLoss/db.   x (B, H, W, C)   dy (B, OH, OW, O)   ->   dw (KH, KW, C, O), db (O,)"""
    (KH, KW, C, O), (B, OH, OW, _) = shape, dy.shape
    pieces = image_pieces(B, OH, OW, KH * KW * C, O, x.itemsize)
    shares = lanes(pieces, KH * KW * C * O * x.itemsize)
    dw, db = np.empty((len(shares), KH * KW * C, O), x.dtype), np.empty((len(shares), O), x.dtype)

    def backward(lane):
        for k, piece in enumerate(shares[lane]):
            n0, n1, i0, i1 = piece
            rows = dy[n0:n1, i0:i1].reshape(-1, O)
            cols, sums = columns(x, piece, KH, KW, stride, pads, OW), ones(len(rows), x.dtype)
            if k == 0:
                product(cols.T, rows, dw[lane])
                np.matmul(sums, rows, out=db[lane])
            else:
                dw[lane] += np.matmul(cols.T, rows, out=scratch("conv2d dw", dw.shape[1:], dw.dtype))
                db[lane] += sums @ rows

    each_piece(backward, len(shares))
    for lane in range(1, len(shares)):  # always in this order
        dw[0] += dw[lane]
        db[0] += db[lane]
    return dw[0].reshape(shape), db[0]


def input_gradient(dy, w, shape, stride, pads):
    """dLoss/dx: a convolution, or where strides skip pixels the columns' gradients, added up where windows overlap."""
    (KH, KW, C, O), (B, OH, OW, _) = w.shape, dy.shape
    turned = tuple((k - 1 - before, k - 1 - after) for k, (before, after) in zip((KH, KW), pads, strict=True))
    few = B * OH * OW < 2 * O  # turning the kernel, number by number, then takes longer than adding columns back
    if stride == 1 and min(min(turned)) >= 0 and not few:
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

    each_piece(backward, len(pieces))
    return dx


def each_piece(work, pieces):
    """work(i) for every piece, on threads; a single piece here, so that its products may be shared."""
    if pieces == 1:
        work(0)
    else:
        share(work, pieces)


def product(a, b, out):
    """out = a @ b. Where few pixels are one piece, two threads take half of the columns each."""
    columns = b.shape[1]
    halves = cut(columns, -(-columns // 2)) if a.shape[0] * b.size >= 2 * TASK else [(0, columns)]

    def half(i):
        part = slice(*halves[i])
        np.matmul(a, b[:, part], out=out[:, part])

    share(half, len(halves))


def _fits(x, w, b, stride, pads):
    """Whether every argument is one that the reference would take, and of a kind that is quick here."""
    if type(w) is not np.ndarray or x.dtype not in (np.float32, np.float64) or w.dtype != x.dtype:
        return False
    if x.ndim != 4 or w.ndim != 4 or x.shape[3] != w.shape[2] or not x.flags.c_contiguous or not x.size or not w.size:
        return False
    if b is not None and (type(b) is not np.ndarray or b.dtype != x.dtype or b.shape != w.shape[3:]):
        return False
    return type(stride) is int and stride >= 1 and min(min(pads)) >= 0
