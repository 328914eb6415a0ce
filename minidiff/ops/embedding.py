"""Vectors for numbers: a row of a learned table for a class or a token, sinusoids for a timestep."""

import math

import numpy as np

from ..backend import xp_of
from ..complex_step import cast
from . import check
from .dispatch import has_fast_version


def _check(table, index):
    check.floats("embedding", table=table)
    check.shape("embedding", "table", table, "(V, D)", table.ndim == 2)
    xp, V = xp_of(table, index), table.shape[0]
    if getattr(index, "dtype", None) is None or index.dtype.kind not in "iu":
        raise TypeError(f"embedding: index has dtype {getattr(index, 'dtype', type(index).__name__)}, expected integers")
    if xp is np and index.size and not (0 <= index.min() and index.max() < V):  # on a device this would synchronise
        raise ValueError(f"embedding: index holds {index.min()} to {index.max()}, expected [0, {V}) for a table of {V} rows")


@has_fast_version(_check)
def embedding(table, index):
    """y = table[index].   table (V, D)   index integers (...) in [0, V)   ->   y (..., D).   back(dy) -> dtable (V, D)

    Fast: gpu.embedding
    """
    xp = xp_of(table)

    def back(dy):
        dtable = xp.zeros_like(table)
        xp.add.at(dtable, index, dy)  # a row looked up k times gets a sum of k terms
        return dtable

    return table[index], back


def timestep_embedding(
    t, dim, *, max_period=10000.0, flip_sin_to_cos=False, downscale_freq_shift=1.0, scale=1.0, dtype=np.float32
):
    """Sinusoids of a timestep, as for a transformer's positions. Vaswani et al. 2017, section 3.5.   t (B,)   ->   (B, dim)

        angle[b, i] = scale t[b] max_period ** (-i / (dim // 2 - downscale_freq_shift)),   i < dim // 2

    flip_sin_to_cos       False: sines first, then cosines; True: the other way round
    downscale_freq_shift  1 in DDPM's code, 0 in GLIDE's and most later ones
    Either setting works in training. A model loaded with the wrong setting predicts badly, and no error is raised.
    An odd dim gets a last column of zeros. t is not differentiated: this returns an array.
    """
    check.shape("timestep_embedding", "t", t, "(B,)", t.ndim == 1)
    half = dim // 2
    if half < 1 or half == downscale_freq_shift:
        raise ValueError(f"timestep_embedding: dim is {dim}, too small for downscale_freq_shift={downscale_freq_shift}")
    xp = xp_of(t)
    exponent = xp.arange(half, dtype=dtype) * (-math.log(max_period) / (half - downscale_freq_shift))
    angle = cast(t, dtype)[:, None] * xp.exp(exponent)[None, :]  # (B, half)
    if scale != 1:
        angle = angle * scale
    parts = [xp.cos(angle), xp.sin(angle)] if flip_sin_to_cos else [xp.sin(angle), xp.cos(angle)]
    if dim % 2:
        parts.append(xp.zeros((t.shape[0], 1), dtype))
    return xp.concatenate(parts, axis=1)  # (B, dim)
