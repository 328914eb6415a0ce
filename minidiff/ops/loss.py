"""The squared error. Weighted losses of diffusion are in `diffusion`."""

from . import check


def mse(y, target):
    """loss = mean((y - target)^2), a 0-d array.   y, target (...)   back(dloss=1) -> (dy, dtarget)"""
    check.floats("mse", y=y, target=target)
    check.shape("mse", "target", target, f"{y.shape}, as y", y.shape == target.shape)
    difference = y - target
    loss = (difference * difference).mean()

    def back(dloss=1.0):
        dy = difference * (dloss * (2.0 / difference.size))
        return dy, -dy

    return loss, back
