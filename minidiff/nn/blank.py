"""Builds a model whose weights are about to be loaded, without drawing or storing initial values.

Layers draw initial values through `rng.random` and `rng.standard_normal`, then scale, transpose and copy them. `Blank`
returns an array of the requested shape without memory: every operation on it returns one broadcast zero.
"""

import numpy as np


class Blank:
    """An `rng` for layers that will be loaded."""

    def random(self, size=(), dtype=np.float32):
        return _unset(size, dtype)

    def standard_normal(self, size=(), dtype=np.float32):
        return _unset(size, dtype)


class _Unset(np.ndarray):
    """A read-only array of one repeated zero. Arithmetic returns the array itself, a copy is another view."""

    def __array_ufunc__(self, ufunc, method, *inputs, **kwargs):
        return self

    def copy(self, order="C"):
        return self


def _unset(size, dtype):
    shape = (size,) if isinstance(size, int) else tuple(size)
    return np.broadcast_to(np.zeros((), dtype), shape).view(_Unset)


def is_blank(param):
    """Whether a Param has no values yet."""
    return isinstance(param.value, _Unset)
