"""The linear map, which computes every matrix product with weights in a network."""

from ..complex_step import add_to
from . import check
from .dispatch import has_fast_version


def _check(x, w, b=None):
    check.floats("linear", x=x, w=w, b=b)
    check.shape("linear", "w", w, "(I, O)", w.ndim == 2)
    fits = x.ndim > 0 and x.shape[-1] == w.shape[0]
    check.shape("linear", "x", x, "(..., {}) to fit w {}", fits, w.shape[0], w.shape)
    check.shape("linear", "b", b, "({},)", b is None or b.shape == w.shape[1:], w.shape[1])


@has_fast_version(_check)
def linear(x, w, b=None):
    """y = x w + b.   x (..., I)   w (I, O)   b (O,) or None   ->   y (..., O)

    Fast: cpu.linear, gpu.linear
    """
    rows = x.reshape(-1, w.shape[0])  # (R, I)
    y = rows @ w  # (R, O)
    if b is not None:
        y = add_to(y, b)

    def back(dy):
        drows = dy.reshape(-1, w.shape[1])  # (R, O)
        dx, dw = (drows @ w.T).reshape(x.shape), rows.T @ drows
        return (dx, dw) if b is None else (dx, dw, drows.sum(axis=0))

    return y.reshape(x.shape[:-1] + w.shape[1:]), back
