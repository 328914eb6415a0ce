"""Group norm with silu behind it, and with additions before it: what stands before every convolution of a residual block."""

from . import check
from .activation import silu
from .dispatch import has_fast_version
from .norm import group_norm


@has_fast_version
def group_norm_silu(x, gamma, beta, groups, eps=1e-5, temb=None):
    """y = silu(group_norm(x + temb)), in one op because one pass over memory can do it all.

    x (B, ..., C)   gamma, beta (C,)   groups divides C   temb (B, C) or None, added to every pixel of its image
    ->   y (B, ..., C), back(dy) -> dx, dgamma, dbeta, and dtemb as a fourth where there is a temb
    """
    if temb is not None:
        check.floats("group_norm_silu", x=x, temb=temb)
        B, C = x.shape[0], x.shape[-1]
        check.shape("group_norm_silu", "temb", temb, f"{(B, C)} to fit x {x.shape}", temb.shape == (B, C))
        x = x + temb.reshape(B, *(1,) * (x.ndim - 2), C)
    normed, back_norm = group_norm(x, gamma, beta, groups, eps)
    y, back_silu = silu(normed)

    def back(dy):
        dx, dgamma, dbeta = back_norm(back_silu(dy))
        if temb is None:
            return dx, dgamma, dbeta
        return dx, dgamma, dbeta, dx.reshape(B, -1, C).sum(axis=1)  # it was added at every pixel

    return y, back


@has_fast_version
def add_group_norm_silu(x, gamma, beta, groups, eps=1e-5, bias=None, temb=None, residual=None):
    """s = x + bias + temb + residual and y = silu(group_norm(s)), in one op because one pass over memory can do it all.

    x, residual (B, ..., C)   temb (B, C), added to every pixel of its image   bias, gamma, beta (C,)   ->   (s, y), back
    back(dy, ds=None) -> (dx, dgamma, dbeta, dbias, dtemb); dresidual is dx
    ds is the gradient that reaches s by another way, such as the skip connection of the block that follows.
    """
    C, B = x.shape[-1], x.shape[0]
    check.floats("add_group_norm_silu", x=x, bias=bias, temb=temb, residual=residual)
    for name, a, shape in (("bias", bias, (C,)), ("temb", temb, (B, C)), ("residual", residual, x.shape)):
        check.shape("add_group_norm_silu", name, a, f"{shape} to fit x {x.shape}", a is None or a.shape == shape)
    s = x if bias is None else x + bias
    s = s if temb is None else s + temb.reshape(B, *(1,) * (x.ndim - 2), C)  # (B, ..., C)
    s = s if residual is None else s + residual
    y, back_norm = group_norm_silu(s, gamma, beta, groups, eps)

    def back(dy, ds=None):
        dx, dgamma, dbeta = back_norm(dy)
        if ds is not None:
            dx = dx + ds
        dtemb = dx.reshape(B, -1, C).sum(axis=1)  # (B, C)
        return dx, dgamma, dbeta, dtemb.sum(axis=0), dtemb

    return (s, y), back
