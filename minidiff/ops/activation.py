"""Functions applied to each number, and softmax, applied to each row.

At large |x| each of these functions equals its limit: x or 0, with slope 1 or 0. There, formulas such as
x s (1 - s) compute infinity times 0. So slopes are computed at x clipped to +-EDGE, beyond which they no longer change in
any dtype. Where a factor goes to 0, it multiplies x clipped at -FAR.
"""

import functools
import math

import numpy as np

from .. import complex_step
from ..backend import Constant, xp_of
from . import check
from .dispatch import has_fast_version

EDGE, FAR = 64.0, 1000.0  # 1 - sigmoid(64) is 1e-28, and sigmoid(-1000) is 0, in float64 too


def half_in_float32(op):
    """Decorator of an activation: float16 is computed in float32 and rounded once. In float16 x^3 overflows from 41 on."""

    @functools.wraps(op)
    def wide(x):
        if getattr(x, "dtype", None) != np.float16:
            return op(x)
        y, back_wide = op(x.astype(np.float32))

        def back(dy):
            return back_wide(dy.astype(np.float32)).astype(np.float16)

        return y.astype(np.float16), back

    return wide


def held(x):
    """x within +-EDGE, where a slope is computed. NaN stays NaN."""
    return complex_step.clip(x, -EDGE, EDGE)


def above(x):
    """x, but no less than -FAR: finite beside a factor of 0. NaN stays NaN."""
    return complex_step.maximum(x, -FAR)


def sigmoid(x):
    """1 / (1 + exp(-x)), written with tanh so that no x overflows. Forward only."""
    return 0.5 * (1.0 + xp_of(x).tanh(0.5 * x))


@has_fast_version(lambda x: check.floats("silu", x=x))
@half_in_float32
def silu(x):
    """y = x sigmoid(x), also called swish. Elfwing et al. 2017 (arXiv:1702.03118).   x (...)   ->   y (...)

    Fast: cpu.silu
    """
    y = above(x) * sigmoid(x)

    def back(dy):  # saved: x
        z, s = held(x), sigmoid(x)
        return dy * (s * (1.0 + z * (1.0 - s)))

    return y, back


@has_fast_version(lambda x: check.floats("gelu", x=x))
@half_in_float32
def gelu(x):
    """y = x Phi(x), Phi the normal distribution's cumulative. Hendrycks and Gimpel 2016 (arXiv:1606.08415), exact form.

    x (...)   ->   y (...)
    Fast: cpu.gelu
    """
    y = above(x) * (0.5 * (1.0 + erf(x * math.sqrt(0.5))))

    def back(dy):  # saved: x
        z = held(x)
        density = xp_of(x).exp(-0.5 * z * z) * (1.0 / math.sqrt(2.0 * math.pi))
        return dy * (0.5 * (1.0 + erf(z * math.sqrt(0.5))) + z * density)

    return y, back


@half_in_float32
def softmax(x):
    """y = exp(x) / sum(exp(x)) along the last axis.   x (..., N)   ->   y (..., N), rows that sum to 1

    -inf gets weight 0. A row with +inf, or of -inf alone, has no limit and is NaN, as in torch.
    """
    check.floats("softmax", x=x)
    e = xp_of(x).exp(x - x.max(axis=-1, keepdims=True))
    y = e / e.sum(axis=-1, keepdims=True)

    def back(dy):  # saved: y. A row's outputs all depend on all its inputs: the sum in back couples them
        return y * (dy - (dy * y).sum(axis=-1, keepdims=True))

    return y, back


# NumPy has no erf. Values on a grid come from the standard library; between them, a Taylor series whose terms
# are known: the derivatives of erf are Hermite polynomials times a Gaussian. Grid step 1/32, seven terms: 1e-15.
_STEP, _EDGE = 1.0 / 32.0, 6.0
_GRID = np.arange(-_EDGE, _EDGE + _STEP / 2, _STEP)
_ERF = Constant(np.array([math.erf(g) for g in _GRID]))


def erf(x):
    """The error function, forward only, to 1e-15 in float64.   x (...)   ->   (...)

    x + i h v, complex with an infinitesimal imaginary part, gives erf(x) + i h v 2/sqrt(pi) exp(-x^2).
    """
    xp = xp_of(x)
    if x.dtype.kind == "c":
        near = xp.clip(x.real, -EDGE, EDGE)  # beyond, exp(-x^2) is 0, and x^2 would overflow
        return erf(x.real) + 1j * (x.imag * ((2.0 / math.sqrt(math.pi)) * xp.exp(-near * near)))
    inside = xp.clip(x, -_EDGE, _EDGE)  # erf(6) is 1 to the last bit of float64
    known = xp.where(inside == inside, inside, 0)  # NaN cannot be an index; h carries it to the result
    index = xp.rint((known + _EDGE) * (1.0 / _STEP)).astype(np.int64)
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
