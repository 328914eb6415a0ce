"""Functions applied to each number, and softmax, applied to each row."""

import math

import numpy as np

from ..backend import Constant, xp_of
from . import check
from .dispatch import has_fast_version


def sigmoid(x):
    """1 / (1 + exp(-x)), written with tanh so that no x overflows. Forward only."""
    return 0.5 * (1.0 + xp_of(x).tanh(0.5 * x))


@has_fast_version
def silu(x):
    """y = x sigmoid(x), also called swish. Elfwing et al. 2017 (arXiv:1702.03118).   x (...)   ->   y (...)"""
    check.floats("silu", x=x)
    y = x * sigmoid(x)

    def back(dy):  # saved: x
        s = sigmoid(x)
        return dy * (s * (1.0 + x * (1.0 - s)))

    return y, back


@has_fast_version
def gelu(x):
    """y = x Phi(x), Phi the normal distribution's cumulative. Hendrycks and Gimpel 2016 (arXiv:1606.08415), exact form.

    x (...)   ->   y (...)
    """
    check.floats("gelu", x=x)
    y = x * (0.5 * (1.0 + erf(x * math.sqrt(0.5))))

    def back(dy):  # saved: x
        density = xp_of(x).exp(-0.5 * x * x) * (1.0 / math.sqrt(2.0 * math.pi))
        return dy * (0.5 * (1.0 + erf(x * math.sqrt(0.5))) + x * density)

    return y, back


def softmax(x):
    """y = exp(x) / sum(exp(x)) along the last axis.   x (..., N)   ->   y (..., N), rows that sum to 1"""
    check.floats("softmax", x=x)
    e = xp_of(x).exp(x - x.max(axis=-1, keepdims=True))
    y = e / e.sum(axis=-1, keepdims=True)

    def back(dy):  # saved: y. A row's outputs all depend on all its inputs: the sum is that cross-talk
        return y * (dy - (dy * y).sum(axis=-1, keepdims=True))

    return y, back


# NumPy has no erf. Values on a grid come from the standard library; between them, a Taylor series whose terms
# are known: the derivatives of erf are Hermite polynomials times a Gaussian. Grid step 1/32, seven terms: 1e-15.
_STEP, _EDGE = 1.0 / 32.0, 6.0
_GRID = np.arange(-_EDGE, _EDGE + _STEP / 2, _STEP)
_ERF = Constant(np.array([math.erf(g) for g in _GRID]))


def erf(x):
    """The error function, forward only, to 1e-15 in float64.   x (...)   ->   (...)"""
    xp = xp_of(x)
    inside = xp.clip(x, -_EDGE, _EDGE)  # erf(6) is 1 to the last bit of float64
    index = xp.rint((inside + _EDGE) * (1.0 / _STEP)).astype(np.int64)
    g = index.astype(x.dtype) * _STEP - _EDGE
    h = inside - g
    # H_k: the k-th derivative of erf is 2/sqrt(pi) exp(-g^2) (-1)^(k-1) H_(k-1)(g)
    before, hermite = 1.0, 2.0 * g
    power, series = h * h * -0.5, h + h * h * -0.5 * hermite
    for k in range(3, 9):
        before, hermite = hermite, 2.0 * g * hermite - 2.0 * (k - 2) * before
        power = power * h * (-1.0 / k)
        series = series + power * hermite
    return _ERF.beside(x, x.dtype)[index] + (2.0 / math.sqrt(math.pi)) * xp.exp(-g * g) * series
