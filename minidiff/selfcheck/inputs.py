"""The inputs that several cases draw: images, class labels, and weights away from their initial values."""

import numpy as np


def image(pick, randn, channels):
    """(B, H, W, channels) with B >= 2 and H, W odd or even, mostly different."""
    return randn(pick(2, 3), pick(3, 7), pick(3, 8), channels)


def classes(n, rows):
    """int64 (n,) below `rows`, some of them twice."""
    return np.arange(n) * 7 % rows


def stirred(layer, randn):
    """The layer with every weight moved: at a norm's initial 1 and 0 a forgotten factor would not show."""
    for param in layer.parameters().values():
        param.value = param.value + 0.3 * randn(*param.shape)
    return layer
