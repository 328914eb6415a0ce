"""Images cut into patches: fewer pixels with more channels, which a model processes in a fraction of the time."""

from . import check


def space_to_depth(x, size=2):
    """Each block of size x size pixels becomes one.   x (B, H, W, C)   ->   y (B, H / size, W / size, size^2 C)

    Raises ValueError where size does not divide H and W.
    """
    _images("space_to_depth", x, size)
    H, W = x.shape[1:3]
    check.shape("space_to_depth", "x", x, f"(B, H, W, C), H and W multiples of {size}", H % size == 0 and W % size == 0)

    def back(dy):
        return _spread(dy, size)

    return _gathered(x, size), back


def depth_to_space(x, size=2):
    """Each pixel becomes a block of size x size.   x (B, H, W, size^2 C)   ->   y (B, size H, size W, C)

    The inverse of `space_to_depth`. Raises ValueError where size^2 does not divide the channels.
    """
    _images("depth_to_space", x, size)
    check.shape("depth_to_space", "x", x, f"(B, H, W, C), C a multiple of {size**2}", x.shape[3] % size**2 == 0)

    def back(dy):
        return _gathered(dy, size)

    return _spread(x, size), back


def _gathered(x, size):
    B, H, W, C = x.shape
    blocks = x.reshape(B, H // size, size, W // size, size, C)
    return blocks.transpose(0, 1, 3, 2, 4, 5).reshape(B, H // size, W // size, size * size * C)


def _spread(x, size):
    B, H, W, C = x.shape
    blocks = x.reshape(B, H, W, size, size, C // size**2)
    return blocks.transpose(0, 1, 3, 2, 4, 5).reshape(B, H * size, W * size, C // size**2)


def _images(op, x, size):
    check.floats(op, x=x)
    check.shape(op, "x", x, "(B, H, W, C)", x.ndim == 4)
    if not isinstance(size, int) or size < 1:
        raise ValueError(f"{op}: size is {size!r}, expected a whole number >= 1")
