"""silu in pieces that stay in cache, with a sigmoid that is worked out once and kept for the way back."""

import numpy as np

from .pieces import cut
from .scratch import scratch
from .threads import share

PIECE = 1 << 15  # numbers a piece: 128 KiB in float32
SMALL = 1 << 11


def silu(x):
    """Fast version of `ops.silu`."""
    if x.dtype not in (np.float32, np.float64) or x.size < SMALL or not x.flags.c_contiguous:
        return NotImplemented
    y, gate = np.empty_like(x), np.empty_like(x)
    xf, yf, gf, pieces = x.reshape(-1), y.reshape(-1), gate.reshape(-1), cut(x.size, PIECE)

    def forward(i):
        part = slice(*pieces[i])
        np.negative(xf[part], out=yf[part])
        silu_of_minus(yf[part], gf[part], yf[part])

    share(forward, len(pieces))

    def back(dy):  # saved: y, gate
        dx, flat = np.empty_like(x), dy.reshape(-1)

        def backward(i):
            part = slice(*pieces[i])
            silu_back(flat[part], yf[part], gf[part], dx.reshape(-1)[part])

        share(backward, len(pieces))
        return dx

    return y, back


def silu_of_minus(minus_x, gate, y):
    """gate = -sigmoid(x) and y = x sigmoid(x), from -x. Signs are chosen so that nothing is turned round twice."""
    with np.errstate(over="ignore"):  # exp(89) is infinite in float32, and 1 / infinity is the right answer
        np.exp(minus_x, out=gate)
    np.subtract(-1, gate, out=gate)
    np.reciprocal(gate, out=gate)
    np.multiply(minus_x, gate, out=y)


def silu_back(dy, y, gate, dx):
    """dx = dy (s + y (1 - s)) with s = -gate: the derivative needs no exponential once y and s are known."""
    slope = scratch("silu slope", y.shape, y.dtype)
    np.subtract(y, 1, out=slope)
    slope *= gate
    slope += y
    np.multiply(dy, slope, out=dx)
