"""GEGLU: half of the features gate the other half."""

from ..backend import xp_of
from . import check
from .activation import gelu


def geglu(x, gate=gelu):
    """y = a gate(g), where a and g are the two halves of x's features. Shazeer 2020 (arXiv:2002.05202).

    x (..., 2 D)   gate: an activation, y, back = gate(g)   ->   y (..., D)
    """
    check.floats("geglu", x=x)
    D = x.shape[-1] // 2
    check.shape("geglu", "x", x, "(..., 2 D), an even number of features", x.shape[-1] == 2 * D)
    a, (g, back_gate) = x[..., :D], gate(x[..., D:])

    def back(dy):
        return xp_of(x).concatenate([dy * g, back_gate(dy * a)], axis=-1)  # (..., 2 D)

    return a * g, back
