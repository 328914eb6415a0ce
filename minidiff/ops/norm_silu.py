"""Group norm with silu behind it: the pair that stands before every convolution of a residual block."""

from .activation import silu
from .dispatch import has_fast_version
from .norm import group_norm


@has_fast_version
def group_norm_silu(x, gamma, beta, groups, eps=1e-5):
    """y = silu(group_norm(x)), in one op because one pass over memory can do both.

    x (B, ..., C)   gamma, beta (C,)   groups divides C   ->   y (B, ..., C)
    """
    normed, back_norm = group_norm(x, gamma, beta, groups, eps)
    y, back_silu = silu(normed)

    def back(dy):
        return back_norm(back_silu(dy))

    return y, back
