"""Group norm followed by silu, with an optional time embedding added first: used before every conv of a residual block."""

from . import check
from .activation import silu
from .dispatch import has_fast_version
from .norm import check_group_norm, group_norm


def _check(x, gamma, beta, groups, eps=1e-5, temb=None):
    if temb is not None:
        check.floats("group_norm_silu", x=x, temb=temb)
        fits = temb.shape == (x.shape[0], x.shape[-1])
        check.shape("group_norm_silu", "temb", temb, "({}, {}) to fit x {}", fits, x.shape[0], x.shape[-1], x.shape)
    check_group_norm(x, gamma, beta, groups, eps)


@has_fast_version(_check)
def group_norm_silu(x, gamma, beta, groups, eps=1e-5, temb=None):
    """y = silu(group_norm(x + temb)), in one op because one pass over memory can do it all.

    x (B, ..., C)   gamma, beta (C,)   groups divides C   temb (B, C) or None, added to every pixel of its image
    ->   y (B, ..., C), back(dy) -> dx, dgamma, dbeta, and dtemb as a fourth where there is a temb
    Fast: cpu.group_norm_silu, gpu.group_norm_silu
    """
    B, C = x.shape[0], x.shape[-1]
    if temb is not None:
        x = x + temb.reshape(B, *(1,) * (x.ndim - 2), C)
    normed, back_norm = group_norm(x, gamma, beta, groups, eps)
    y, back_silu = silu(normed)

    def back(dy):
        dx, dgamma, dbeta = back_norm(back_silu(dy))
        if temb is None:
            return dx, dgamma, dbeta
        return dx, dgamma, dbeta, dx.reshape(B, -1, C).sum(axis=1)  # it was added at every pixel

    return y, back
