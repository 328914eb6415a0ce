"""The input patches of a piece's output pixels: `gather` and `scatter` of `ops.conv2d`, in a thread's own memory.

Channels are the last axis, so the KW pixels of a window in one row of the image are contiguous. Overlapping windows are a
strided view, and gathering is one copy of that view.
"""

import numpy as np

from .scratch import scratch

FEW = 1 << 14  # numbers


def columns(x, piece, KH, KW, stride, pads, OW):
    """One row for each output pixel of the piece.   -> (images rows OW, KH KW C), this thread's until it asks again"""
    n0, n1, i0, i1 = piece
    C, rows = x.shape[3], i1 - i0
    if KH == KW == stride == 1 and not any(map(any, pads)):
        return x[n0:n1, i0:i1].reshape(-1, C)
    seen = padded(x[n0:n1], i0 * stride - pads[0][0], (rows - 1) * stride + KH, pads[1])
    image, row, pixel, number = seen.strides
    windows = (n1 - n0, rows, OW, KH, KW * C)
    cols = scratch("columns", windows, x.dtype)
    cols[...] = np.ndarray(windows, x.dtype, seen, 0, (image, stride * row, stride * pixel, row, number))
    return cols.reshape(-1, KH * KW * C)


def window_rows(x, piece, KH, KW, pads, OW):
    """One row of a window for each place it can have, in `rows` + KH - 1 rows of the image. With stride 1, row u of all windows
    is the part from u OW on, of rows OW: a KH-th of the memory of `columns`.

    -> (images, (rows + KH - 1) OW, KW C), this thread's until it asks again
    """
    n0, n1, i0, i1 = piece
    C, rows = x.shape[3], i1 - i0 + KH - 1
    seen = padded(x[n0:n1], i0 - pads[0][0], rows, pads[1])
    image, row, pixel, number = seen.strides
    shape = (n1 - n0, rows, OW, KW * C)
    found = scratch("columns", shape, x.dtype)
    found[...] = np.ndarray(shape, x.dtype, seen, 0, (image, row, pixel, number))
    return found.reshape(n1 - n0, rows * OW, KW * C)


def padded(x, first, count, sides):
    """`count` rows of images from row `first` on, zeros where there is no image, and at the sides. Contiguous.

    x (n, H, W, C)   sides (left, right)   ->   (n, count, left + W + right, C), this thread's until it asks again
    """
    n, H, W, C = x.shape
    (left, right), above = sides, max(0, -first)
    inside = max(0, min(H, first + count) - max(0, first))
    part = x[:, max(0, first) : max(0, first) + inside]
    if not (left or right) and inside == count and part.flags.c_contiguous:
        # an axis of length 1 may have any stride in NumPy: `columns` reads strides, so it gets the usual ones
        return part.reshape(-1).reshape(part.shape)
    out = scratch("padded", (n, count, left + W + right, C), x.dtype)
    if out.size < FEW:  # one call then takes less time than four
        out.fill(0)
    else:
        out[:, :above] = 0
        out[:, above + inside :] = 0
        out[:, :, :left] = 0
        out[:, :, left + W :] = 0
    out[:, above : above + inside, left : left + W] = part
    return out


def scatter_back(dcols, dx, stride, pads):
    """Writes into dx (n, H, W, C) the transpose of gathering.   dcols (n, OH, OW, KH, KW, C)"""
    n, OH, OW, KH, KW, C = dcols.shape
    (top, bottom), (left, right) = pads
    _, H, W, _ = dx.shape
    if KH == KW == stride == 1 and not any(map(any, pads)):
        dx[...] = dcols.reshape(dx.shape)
        return
    total = scratch("padded", (n, top + H + bottom, left + W + right, C), dx.dtype)
    total[...] = 0
    for u in range(KH):
        for v in range(KW):
            total[:, u : u + stride * OH : stride, v : v + stride * OW : stride] += dcols[:, :, :, u, v]
    dx[...] = total[:, top : top + H, left : left + W]
