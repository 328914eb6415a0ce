"""gelu in float32, in pieces that stay in cache: one exponential serves both the function and its slope.

NumPy has no error function, and the reference's, good to the last bit of float64, costs fifty times an addition. Here

    Phi(-z) = exp(-z^2 / 2) P(t),    t = 1 / (1 + S z),    z >= 0

with P fitted so that Phi is right to 1e-9, a thirtieth of what float32 can tell. The form is Hastings 1955's (Abramowitz and
Stegun, 26.2.17), with two more terms.
"""

import math

import numpy as np

from ..ops.activation import EDGE
from .activation import like
from .pieces import numbers
from .scratch import scratch
from .slopes import in_pieces

SMALL = 1 << 11
S = 0.24
P = (0.089616348384, 0.154829393909, -0.151869845427, 0.621913153517, -0.642602067977, 0.552839480115, -0.124726461628)
DENSITY = 1.0 / math.sqrt(2.0 * math.pi)


def gelu(x):
    """Fast version of `ops.gelu`."""
    if x.dtype != np.float32 or x.size < SMALL:
        return NotImplemented
    return in_pieces(np.ascontiguousarray(x), gelu_and_slope, numbers(x.size) // 2)


def gelu_and_slope(x, y, slope):
    """y = x Phi(x) and slope = Phi(x) + x exp(-x^2 / 2) / sqrt(2 pi), all (n,); y needs the slope's memory in any case."""
    slope = scratch("gelu slope", y.shape, y.dtype) if slope is None else slope
    t, bell, z = (scratch(f"gelu {name}", x.shape, x.dtype) for name in ("t", "bell", "z"))
    np.maximum(x, like(x, -EDGE), out=y)
    np.minimum(y, like(y, EDGE), out=z)  # Phi(-64) is 0 and Phi(64) is 1; x^2 would overflow, and infinity times 0 is NaN
    np.multiply(z, z, out=bell)
    bell *= -0.5
    np.exp(bell, out=bell)
    np.abs(z, out=t)
    t *= S
    t += 1
    np.divide(1, t, out=t)
    np.multiply(t, P[-1], out=slope)  # Phi(-|x|) is made here
    for p in P[-2::-1]:
        slope += p
        slope *= t
    slope *= bell
    np.greater(z, 0, out=t)
    slope -= t  # |Phi(-|x|) - 1| = Phi(|x|) to the bit; NumPy's `where=` takes ten times as long
    np.abs(slope, out=slope)
    y *= slope
    bell *= DENSITY
    bell *= z
    slope += bell
