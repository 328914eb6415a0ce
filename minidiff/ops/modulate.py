"""The two ops with which a time and a class steer a transformer: scale and shift after a norm, a gate before a sum.

Peebles and Xie 2023 (arXiv:2212.09748), section 3.2, "adaLN-Zero": one vector for each image is mapped to shift, scale and
gate. With a gate of zero a block is the identity, so a deep model starts its training as a shallow one.
"""

from ..backend import xp_of
from . import check
from .dispatch import has_fast_version


def _check_modulate(x, shift, scale, eps=1e-6):
    check.floats("modulate", x=x, shift=shift, scale=scale)
    _fit("modulate", x, shift=shift, scale=scale)


@has_fast_version(_check_modulate)
def modulate(x, shift, scale, eps=1e-6):
    """y = xhat (1 + scale) + shift, where xhat is x normalised over its features, each row alone, without gamma and beta.

    x (B, ..., D)   shift, scale (B, D), for all rows of an image   ->   y (B, ..., D).   back(dy) -> dx, dshift, dscale
    Fast: cpu.modulate, gpu.modulate
    """
    mean = x.mean(axis=-1, keepdims=True)
    centred = x - mean
    rstd = 1.0 / xp_of(x).sqrt((centred * centred).mean(axis=-1, keepdims=True) + eps)  # (B, ..., 1)
    y = centred * rstd * (1.0 + _beside(scale, x)) + _beside(shift, x)

    def back(dy):  # saved: x, mean, rstd, scale
        xhat = (x - mean) * rstd
        dxhat = dy * (1.0 + _beside(scale, x))
        through_mean = dxhat.mean(axis=-1, keepdims=True)
        through_variance = xhat * (dxhat * xhat).mean(axis=-1, keepdims=True)
        return rstd * (dxhat - through_mean - through_variance), _over_rows(dy), _over_rows(dy * xhat)

    return y, back


def gated_add(x, h, gate):
    """y = x + gate h: a block's skip connection, with a gate for each feature of each image.

    x, h (B, ..., D)   gate (B, D)   ->   y (B, ..., D).   back(dy) -> dx, dh, dgate
    """
    check.floats("gated_add", x=x, h=h, gate=gate)
    check.shape("gated_add", "h", h, "{}, as x", h.shape == x.shape, tuple(x.shape))
    _fit("gated_add", x, gate=gate)

    def back(dy):  # saved: h, gate
        return dy, dy * _beside(gate, x), _over_rows(dy * h)

    return x + _beside(gate, x) * h, back


def _fit(op, x, **vectors):
    check.shape(op, "x", x, "(B, ..., D)", x.ndim >= 2)
    B, D = x.shape[0], x.shape[-1]
    for name, vector in vectors.items():
        check.shape(op, name, vector, "({}, {}) to fit x {}", vector.shape == (B, D), B, D, tuple(x.shape))


def _beside(vector, x):
    """(B, D) in the shape that broadcasts against x (B, ..., D)."""
    return vector.reshape(vector.shape[0], *(1,) * (x.ndim - 2), vector.shape[1])


def _over_rows(z):
    """Sum over the rows of each image.   (B, ..., D) -> (B, D)"""
    return z.sum(axis=tuple(range(1, z.ndim - 1))) if z.ndim > 2 else z
