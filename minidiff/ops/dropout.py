"""Dropout: a random share of the numbers becomes zero, so that no unit can rely on another."""

from ..backend import xp_of
from . import check


def dropout(x, p, rng):
    """y = x keep / (1 - p), each number kept with probability 1 - p. Srivastava et al. 2014.   x (...)   ->   y (...)

    The division keeps the mean, so that nothing changes when dropout is off.
    """
    check.floats("dropout", x=x)
    if not 0 <= p < 1:
        raise ValueError(f"dropout: p is {p}, expected a probability in [0, 1)")
    keep = xp_of(x).asarray(rng.random(x.shape, dtype="float32") >= p).astype(x.dtype) * (1.0 / (1.0 - p))

    def back(dy):
        return dy * keep

    return x * keep, back
