"""Building a net whose weights are about to be loaded: its initial numbers are never drawn, and take no memory.

The layers draw theirs through `rng.random` and `rng.standard_normal`, then scale, turn and copy. `Blank` answers with an
array that has the asked shape and refuses to become numbers: whatever is done to it, it stays one zero seen many times.
"""

import numpy as np


class Blank:
    """An `rng` for layers that will be loaded."""

    def random(self, size=(), dtype=np.float32):
        return _unset(size, dtype)

    def standard_normal(self, size=(), dtype=np.float32):
        return _unset(size, dtype)


class _Unset(np.ndarray):
    """A read-only array of one repeated zero. Arithmetic gives itself back, a copy is another view."""

    def __array_ufunc__(self, ufunc, method, *inputs, **kwargs):
        return self

    def copy(self, order="C"):
        return self


def _unset(size, dtype):
    shape = (size,) if isinstance(size, int) else tuple(size)
    return np.broadcast_to(np.zeros((), dtype), shape).view(_Unset)


def is_blank(param):
    """Whether a Param still waits for its numbers."""
    return isinstance(param.value, _Unset)
