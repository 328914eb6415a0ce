"""A gradient entry by entry: slow, plain, and it tells which entry is wrong."""

import numpy as np

from .calls import forward, inner


def numerical_grad(f, x, dy, h=1e-5):
    """dLoss/dx entry by entry, where dLoss/dy = dy.   f(x) -> y or (y, back)   x float64   dy of y's shape   -> x's shape

    Two forward passes for each entry: for small arrays, and for reading.
    """
    dx = np.zeros(x.shape)
    for index in np.ndindex(x.shape):
        up, down = x.copy(), x.copy()
        up[index] += h
        down[index] -= h
        dx[index] = inner(dy, forward(f, up) - forward(f, down)) / (2 * h)
    return dx


def exact_grad(exact, x, dy):
    """`numerical_grad` by complex steps: exact to rounding, one forward pass for each entry."""
    true = np.zeros(x.shape)
    for index in np.ndindex(x.shape):
        r = np.zeros(x.shape)
        r[index] = 1.0
        true[index] = inner(dy, exact(r))
    return true
