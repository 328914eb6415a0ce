"""Nearest-neighbour resizing to a given size, for skip connections whose size is not exactly double."""

from ..backend import xp_of
from . import check


def resize_nearest(x, height, width):
    """Each pixel of y is the pixel of x at its position.   x (B, H, W, C)   ->   y (B, height, width, C)

    y[n, i, j] = x[n, floor(i H / height), floor(j W / width)]
    """
    check.floats("resize_nearest", x=x)
    check.shape("resize_nearest", "x", x, "(B, H, W, C)", x.ndim == 4)
    if height < 1 or width < 1:
        raise ValueError(f"resize_nearest: height and width are {height} and {width}, expected whole numbers >= 1")
    xp, (_, H, W, _) = xp_of(x), x.shape
    rows, cols = xp.arange(height) * H // height, xp.arange(width) * W // width

    def back(dy):  # a pixel that was used k times gets a sum of k terms: two products with a matrix of zeros and ones
        take_rows = (rows[:, None] == xp.arange(H)).astype(dy.dtype)  # (height, H)
        take_cols = (cols[:, None] == xp.arange(W)).astype(dy.dtype)  # (width, W)
        tall = xp.tensordot(take_rows, dy, ((0,), (1,)))  # (H, B, width, C)
        dx = xp.tensordot(take_cols, tall, ((0,), (2,)))  # (W, H, B, C)
        return xp.ascontiguousarray(dx.transpose(2, 1, 0, 3))  # the layers before it are fastest on rows in order

    return xp.take(xp.take(x, rows, axis=1), cols, axis=2), back
