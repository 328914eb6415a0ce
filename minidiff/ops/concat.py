"""Concatenation of arrays, for the skip connections of a U-Net."""

from ..backend import xp_of
from . import check


def concat(xs, axis=-1):
    """Arrays joined along one axis.   xs: arrays equal in every other axis   ->   y.   back(dy) -> (dx for each)"""
    xs = tuple(xs)
    check.floats("concat", **{f"xs[{i}]": x for i, x in enumerate(xs)})
    axis = axis % xs[0].ndim
    for i, x in enumerate(xs):
        fits = x.ndim == xs[0].ndim and all(x.shape[d] == xs[0].shape[d] for d in range(x.ndim) if d != axis)
        check.shape("concat", f"xs[{i}]", x, f"{xs[0].shape} in all but axis {axis}", fits)
    widths = [x.shape[axis] for x in xs]

    def back(dy):
        cuts, start = [], 0
        for width in widths:
            cuts.append(dy[(slice(None),) * axis + (slice(start, start + width),)])
            start += width
        return tuple(cuts)

    return xp_of(*xs).concatenate(xs, axis=axis), back
