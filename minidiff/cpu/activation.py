"""silu in pieces that stay in cache. Its one exponential is worked out on the way forward and kept for the way back."""

import numpy as np

from ..ops.activation import EDGE, FAR
from ..settings import dropped, is_no_grad
from ..thread_team import share
from .fits import fits
from .pieces import cut, even, numbers
from .scratch import constants, scratch

SMALL = 1 << 11
TINY = 1e-30  # against 0 / 0


def silu(x):
    """Fast version of `ops.silu`."""
    if x.size < SMALL or not fits(x):
        return NotImplemented
    y, keep = np.empty_like(x), not is_no_grad()
    below = np.empty_like(x).reshape(-1) if keep else None
    xf, yf, pieces = x.reshape(-1), y.reshape(-1), cut(x.size, even(x.size, numbers(x.size)))

    def forward(i):
        part = slice(*pieces[i])
        np.negative(xf[part], out=yf[part])
        silu_of_minus(yf[part], below[part] if keep else scratch("silu below", yf[part].shape, x.dtype), yf[part])

    share(forward, len(pieces))
    if not keep:
        return y, dropped

    def back(dy):  # saved: y, below
        dx, flat = np.empty_like(x), dy.reshape(-1)

        def backward(i):
            part = slice(*pieces[i])
            silu_back(flat[part], yf[part], below[part], dx.reshape(-1)[part])

        share(backward, len(pieces))
        return dx

    return y, back


def silu_of_minus(minus_x, below, y, finite=False):
    """below = -(1 + exp(-x)) and y = x sigmoid(x) = -x / below, from -x. y may be the memory of minus_x.   finite: x is"""
    with np.errstate(over="ignore"):  # exp(89) is infinite in float32, and x / infinity is the right answer
        np.exp(minus_x, out=below)
    np.subtract(-1, below, out=below)
    if not finite:
        minus_x = np.minimum(minus_x, like(y, FAR), out=y)  # and not infinity / infinity: exp(1000) is infinite
    np.divide(minus_x, below, out=y)


def silu_back(dy, y, below, dx):
    """dx = dy (y + s (1 - y)), s = sigmoid(x) = -1 / below: the derivative needs no exponential once these are known."""
    slope, held = scratch("silu slope", y.shape, y.dtype), scratch("silu held", y.shape, y.dtype)
    np.minimum(y, like(y, EDGE), out=held)  # from there on s is 1 and so is the slope; y - (y - 1) would lose the 1 at y = 2^24
    np.subtract(held, 1, out=slope)
    slope /= below
    slope += held
    np.multiply(dy, slope, out=dx)


def silu_back_from(dy, x, y, dx):
    """dx = dy (s + y (1 - s)), s = y / x, for finite x: nothing but x and y has to be known. x is overwritten."""
    slope = scratch("silu slope", y.shape, y.dtype)
    x += TINY  # so that s is 1/2 where x is 0
    np.add(y, TINY / 2, out=slope)
    slope /= x
    np.subtract(1, slope, out=x)
    x *= y
    slope += x
    np.multiply(dy, slope, out=dx)


def like(x, value):
    """An array of x's shape that holds one value."""
    return constants(value, x.size, x.dtype).reshape(x.shape)
