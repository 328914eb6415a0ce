"""Normalisation: subtract a mean, divide by a standard deviation, scale and shift by learned numbers.

The mean and the deviation depend on x, so dx has three terms: the direct one, one through the mean, one through the
variance. Without either of the last two a model still trains, a little worse. No image shows the bug; gradcheck does.
"""

from ..backend import xp_of
from . import check
from .dispatch import has_fast_version


def check_group_norm(x, gamma, beta, groups, eps=1e-5):
    """Raise TypeError or ValueError unless these are arguments of `group_norm`."""
    check.floats("group_norm", x=x, gamma=gamma, beta=beta)
    C = x.shape[-1]
    check.shape("group_norm", "gamma", gamma, "({},) to fit x {}", gamma.shape == (C,), C, x.shape)
    check.shape("group_norm", "beta", beta, "({},) to fit x {}", beta.shape == (C,), C, x.shape)
    if not isinstance(groups, int) or groups < 1 or C % groups:
        raise ValueError(f"group_norm: groups is {groups}, expected a divisor of the {C} channels")


@has_fast_version(check_group_norm)
def group_norm(x, gamma, beta, groups, eps=1e-5):
    """Normalise each image over space and over a group of neighbouring channels. Wu and He 2018 (arXiv:1803.08494).

    x (B, ..., C)   gamma, beta (C,)   groups divides C   ->   y (B, ..., C)
    Fast: cpu.group_norm, gpu.group_norm
    """
    xp, B, C = xp_of(x), x.shape[0], x.shape[-1]
    flat = x.reshape(B, -1, C)  # (B, P, C)
    count = flat.shape[1] * (C // groups)

    def group_mean(z):
        """Mean over P and over the channels of a group, repeated for each of its channels.   (B, P, C) -> (B, 1, C)"""
        means = z.sum(axis=1).reshape(B, groups, -1).sum(axis=2, keepdims=True) * (1.0 / count)  # (B, G, 1)
        return xp.broadcast_to(means, (B, groups, C // groups)).reshape(B, 1, C)

    mean = group_mean(flat)
    centred = flat - mean
    rstd = 1.0 / xp.sqrt(group_mean(centred * centred) + eps)  # (B, 1, C)
    y = centred * (rstd * gamma) + beta

    def back(dy):  # saved: x, mean, rstd
        dflat = dy.reshape(B, -1, C)
        xhat = (flat - mean) * rstd
        dxhat = dflat * gamma
        dx = rstd * (dxhat - group_mean(dxhat) - xhat * group_mean(dxhat * xhat))
        return dx.reshape(x.shape), (dflat * xhat).sum(axis=(0, 1)), dflat.sum(axis=(0, 1))

    return y.reshape(x.shape), back


def layer_norm(x, gamma, beta, eps=1e-5):
    """Normalise each feature row. Ba et al. 2016 (arXiv:1607.06450).   x (..., D)   gamma, beta (D,)   ->   y (..., D)"""
    check.floats("layer_norm", x=x, gamma=gamma, beta=beta)
    D = x.shape[-1]
    check.shape("layer_norm", "gamma", gamma, f"({D},) to fit x {x.shape}", gamma.shape == (D,))
    check.shape("layer_norm", "beta", beta, f"({D},) to fit x {x.shape}", beta.shape == (D,))
    mean = x.mean(axis=-1, keepdims=True)
    centred = x - mean
    rstd = 1.0 / xp_of(x).sqrt((centred * centred).mean(axis=-1, keepdims=True) + eps)  # (..., 1)
    y = centred * rstd * gamma + beta

    def back(dy):  # saved: x, mean, rstd
        xhat = (x - mean) * rstd
        dxhat = dy * gamma
        through_mean = dxhat.mean(axis=-1, keepdims=True)
        through_variance = xhat * (dxhat * xhat).mean(axis=-1, keepdims=True)
        rows = tuple(range(x.ndim - 1))
        return rstd * (dxhat - through_mean - through_variance), (dy * xhat).sum(axis=rows), dy.sum(axis=rows)

    return y, back
