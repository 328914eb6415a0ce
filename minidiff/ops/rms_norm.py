"""Normalisation without a mean: divide by the root mean square alone."""

from ..backend import xp_of
from . import check


def rms_norm(x, gamma, eps=1e-6):
    """y = x / sqrt(mean(x^2) + eps) * gamma. Zhang and Sennrich 2019 (arXiv:1910.07467); T5's layer norm.

    x (..., D)   gamma (D,)   ->   y (..., D)
    """
    check.floats("rms_norm", x=x, gamma=gamma)
    D = x.shape[-1]
    check.shape("rms_norm", "gamma", gamma, f"({D},) to fit x {x.shape}", gamma.shape == (D,))
    rstd = 1.0 / xp_of(x).sqrt((x * x).mean(axis=-1, keepdims=True) + eps)  # (..., 1)

    def back(dy):  # saved: x, rstd. Two terms: the direct one and the one through the root mean square
        xhat, dxhat = x * rstd, dy * gamma
        dx = rstd * (dxhat - xhat * (dxhat * xhat).mean(axis=-1, keepdims=True))
        return dx, (dy * xhat).sum(axis=tuple(range(x.ndim - 1)))

    return x * rstd * gamma, back
