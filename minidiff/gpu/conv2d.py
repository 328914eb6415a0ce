"""Convolution as a kernel that gathers each output pixel's receptive field, and one matrix product.

With a separate cuBLAS handle, 3 x 3 convolutions need no such columns: see row_conv.
"""

import numpy as np

from ..backend import xp_of
from ..ops.conv2d import layout
from .matmul import handle, matmul
from .row_conv import conv3x3
from .source import fits, launch

THREADS = 256


def conv2d(x, w, b=None, stride=1, padding=0):
    """Fast version of `ops.conv2d`."""
    pads, OH, OW = layout(x, w, stride, padding)
    (KH, KW, C, O), (B, H, W, _) = w.shape, x.shape
    if not fits(x, w, b) or B * OH * OW >= 2**31:
        return NotImplemented
    xp = xp_of(x, w, b)
    if handle() is not None and KH == KW == 3 and stride == 1 and all(p == 1 for pad in pads for p in pad):
        return conv3x3(handle(), x, w, b)
    sizes = [np.int32(n) for n in (B, H, W, C, OH, OW, KH, KW, stride, pads[0][0], pads[1][0])]
    pointwise = KH == KW == stride == 1 and not any(map(any, pads))
    wide = w.reshape(KH * KW * C, O)
    lanes = min(C, THREADS)
    block = (lanes, THREADS // lanes)

    def columns():
        if pointwise:
            return x.reshape(B * H * W, C)
        cols = xp.empty((B * OH * OW, KH * KW * C), x.dtype)
        launch(xp, "im2col", (-(-B * OH * OW // block[1]), KH * KW), block, x, cols, *sizes)
        return cols

    y = matmul(columns(), wide)  # (B OH OW, O)
    if b is not None:
        y += b

    def back(dy):  # saved: x, w. The columns are KH KW times as wide as x and are gathered again
        rows = xp.ascontiguousarray(dy.reshape(B * OH * OW, O))
        dw = matmul(columns().T, rows).reshape(w.shape)
        dcols = matmul(rows, wide.T)
        if pointwise:
            dx = dcols.reshape(x.shape)
        else:
            dx = xp.empty(x.shape, x.dtype)
            launch(xp, "col2im", (-(-B * H * W // block[1]),), block, dcols, dx, *sizes)
        return (dx, dw) if b is None else (dx, dw, rows.sum(axis=0))

    return y.reshape(B, OH, OW, O), back
