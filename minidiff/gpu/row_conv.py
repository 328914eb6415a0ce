"""The 3 x 3 convolution as three matrix products on one flat buffer, without columns: no pixel is copied nine times.

The images are stored in one row of pixels, with a zero after each line of pixels and a line of zeros after each image. A
pixel's receptive field in one line, three pixels, is then 3 C neighbouring numbers, and the next pixel's starts C numbers
later. A matrix with such overlapping rows is invalid for cuBLAS, but every third row of it is valid: leading dimension 3 C.
So the rows are processed in three phases, as one batched product. The three lines of the kernel need three such products.
"""

import numpy as np

from ..backend import xp_of
from .cublas import PLAIN, TRANSPOSED, _address
from .source import launch

THREADS = 256


class Rows:
    """The layout for images (B, H, W)."""

    def __init__(self, B, H, W):
        self.images = tuple(map(np.int32, (B, H, W)))
        self.line = W + 1
        self.rows = -(-B * (H + 1) * self.line // 3) * 3  # output pixels, pads included, a multiple of three
        self.before = self.line + 1  # zeros above and to the left of the first pixel
        self.total = self.rows + 2 * self.line + 2

    def spread(self, x):
        """x (B, H, W, C)   ->   (total, C)"""
        xp, C = xp_of(x), x.shape[-1]
        flat = xp.empty((self.total, C), np.float32)
        grid, block = _shape(self.total, C)
        sizes = np.int32(C), np.int32(self.before), np.int32(self.total)
        launch(xp, "to_rows", grid, block, x, flat, *self.images, *sizes)
        return flat

    def gather(self, flat, bias=None):
        """flat (rows, C), bias (C,) or None   ->   (B, H, W, C)"""
        xp, C = xp_of(flat), flat.shape[-1]
        B, H, W = map(int, self.images)
        x = xp.empty((B, H, W, C), np.float32)
        grid, block = _shape(B * H * W, C)
        launch(xp, "from_rows", grid, block, flat, bias, x, *self.images, np.int32(C))
        return x


def conv3x3(blas, x, w, b=None):
    """`ops.conv2d` with stride 1 and padding 1.   x (B, H, W, C)   w (3, 3, C, O)   b (O,) or None   ->   (B, H, W, O)"""
    layout, O = Rows(*x.shape[:3]), w.shape[3]
    y = layout.gather(_forward(blas, layout, layout.spread(x), w), b)

    def back(dy):  # saved: x, w
        dy = xp_of(x).ascontiguousarray(dy)
        drows = layout.spread(dy)  # zeros where there is no output pixel
        dw = _weights(blas, layout, layout.spread(x), drows, w.shape)
        flipped = xp_of(x).ascontiguousarray(w[::-1, ::-1].transpose(0, 1, 3, 2))  # (3, 3, O, C)
        dx = layout.gather(_forward(blas, layout, drows, flipped))
        return (dx, dw) if b is None else (dx, dw, dy.reshape(-1, O).sum(axis=0))

    return y, back


def _forward(blas, layout, flat, w):
    """flat (total, C)   w (3, 3, C, O)   ->   (rows, O)"""
    C, O = w.shape[2:]
    y = xp_of(flat).empty((layout.rows, O), np.float32)
    for u in range(3):
        lines = _address(flat) + 4 * u * layout.line * C, 3 * C, C
        kernel = _address(w) + 4 * u * 3 * C * O, O, 0
        blas.gemm(PLAIN, PLAIN, O, layout.rows // 3, 3 * C, kernel, lines, (_address(y), 3 * O, O), float(u > 0), batch=3)
    return y


def _weights(blas, layout, flat, drows, shape):
    """The sum over pixels of receptive field times gradient; the phases are added one after another."""
    C, O = shape[2:]
    dw = xp_of(flat).empty(shape, np.float32)
    for u in range(3):
        for phase in range(3):
            lines = _address(flat) + 4 * (u * layout.line + phase) * C, 3 * C, 0
            grads = _address(drows) + 4 * (layout.before + phase) * O, 3 * O, 0
            out = _address(dw) + 4 * u * 3 * C * O, O, 0
            blas.gemm(PLAIN, TRANSPOSED, O, 3 * C, layout.rows // 3, grads, lines, out, float(phase > 0))
    return dw


def _shape(rows, C):
    lanes = min(C, THREADS)
    return (-(-rows // (THREADS // lanes)),), (lanes, THREADS // lanes)
