"""Nearest-neighbour upsampling and average pooling of images."""

from ..backend import xp_of
from . import check
from .dispatch import has_fast_version


@has_fast_version(lambda x, factor=2: _images("upsample_nearest", x, "factor", factor))
def upsample_nearest(x, factor=2):
    """Each pixel becomes factor x factor equal ones.   x (B, H, W, C)   ->   y (B, factor H, factor W, C)

    Fast: cpu.upsample_nearest
    """
    B, H, W, C = x.shape
    tall = xp_of(x).broadcast_to(x[:, :, None, :, None, :], (B, H, factor, W, factor, C))
    y = tall.reshape(B, H * factor, W * factor, C)

    def back(dy):  # a pixel was used factor^2 times
        return dy.reshape(B, H, factor, W, factor, C).sum(axis=(2, 4))

    return y, back


def avg_pool(x, size=2):
    """Mean over size x size blocks; rows and columns left over at the end are dropped.

    x (B, H, W, C)   ->   y (B, H // size, W // size, C)
    """
    _images("avg_pool", x, "size", size)
    B, H, W, C = x.shape
    OH, OW = H // size, W // size
    if OH < 1 or OW < 1:
        raise ValueError(f"avg_pool: x {x.shape} is smaller than one block of {size} x {size}")
    blocks = x[:, : OH * size, : OW * size].reshape(B, OH, size, OW, size, C)

    def back(dy):
        xp = xp_of(dy)
        dx = xp.zeros(x.shape, x.dtype)
        spread = xp.broadcast_to(dy[:, :, None, :, None, :] * (1.0 / size**2), blocks.shape)
        dx[:, : OH * size, : OW * size] = spread.reshape(B, OH * size, OW * size, C)
        return dx

    return blocks.mean(axis=(2, 4)), back


def _images(op, x, name, number):
    check.floats(op, x=x)
    check.shape(op, "x", x, "(B, H, W, C)", x.ndim == 4)
    if not isinstance(number, int) or number < 1:
        raise ValueError(f"{op}: {name} is {number!r}, expected a whole number >= 1")
