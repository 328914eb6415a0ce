"""Downsampling and upsampling by 2 with the smooth filter (1, 3, 3, 1) along each axis, for NCSN++ and the k-upscaler.

Along one axis   down: y[n] = (x[2n-1] + 3 x[2n] + 3 x[2n+1] + x[2n+2]) / 8
                 up:   y[2n] = (x[n-1] + 3 x[n]) / 4,   y[2n+1] = (3 x[n] + x[n+1]) / 4
The image is padded with zeros, or with its mirror image. Both maps are linear, so backward is the transpose: where forward
gathers, it scatters. Song et al. 2021 (arXiv:2011.13456), appendix H; the filter is Karras et al. 2020 (arXiv:1912.04958).
"""

from ..backend import xp_of
from . import check


def fir_downsample(x, edge="zero"):
    """Half the height and width.   x (B, H, W, C)   edge "zero" or "reflect"   ->   y (B, H // 2, W // 2, C)"""
    _check("fir_downsample", x, edge)
    _, H, W, _ = x.shape
    y = _along(2, _along(1, x, _halve, edge), _halve, edge)

    def back(dy):
        return _along(1, _along(2, dy, _halve_back, W, edge), _halve_back, H, edge)

    return y, back


def fir_upsample(x, edge="zero"):
    """Twice the height and width.   x (B, H, W, C)   edge "zero" or "reflect"   ->   y (B, 2 H, 2 W, C)"""
    _check("fir_upsample", x, edge)
    y = _along(2, _along(1, x, _double, edge), _double, edge)

    def back(dy):
        return _along(1, _along(2, dy, _double_back, edge), _double_back, edge)

    return y, back


# ---- along the first axis ------------------------------------------------------------------------------------------------


def _along(axis, x, function, *args):
    return function(x.swapaxes(0, axis), *args).swapaxes(0, axis)


def _halve(x, edge):
    p, n = _pad(x, edge), x.shape[0] // 2 * 2  # p[i] = x[i - 1]
    return (p[0:n:2] + 3 * (p[1 : n + 1 : 2] + p[2 : n + 2 : 2]) + p[3 : n + 3 : 2]) * 0.125


def _halve_back(dy, H, edge):
    dp, n = xp_of(dy).zeros((H + 2, *dy.shape[1:]), dy.dtype), H // 2 * 2
    for tap, weight in enumerate((0.125, 0.375, 0.375, 0.125)):
        dp[tap : n + tap : 2] += weight * dy
    return _pad_back(dp, edge)


def _double(x, edge):
    p = _pad(x, edge)
    even, odd = p[:-2] + 3 * p[1:-1], 3 * p[1:-1] + p[2:]
    return xp_of(x).stack([even, odd], axis=1).reshape((-1, *x.shape[1:])) * 0.25


def _double_back(dy, edge):
    deven, dodd = dy[0::2] * 0.25, dy[1::2] * 0.25
    dp = xp_of(dy).zeros((deven.shape[0] + 2, *dy.shape[1:]), dy.dtype)
    dp[:-2] += deven
    dp[1:-1] += 3 * (deven + dodd)
    dp[2:] += dodd
    return _pad_back(dp, edge)


def _pad(x, edge):
    """One row more at each end: of zeros, or the second and the last but one again."""
    zeros = xp_of(x).zeros((1, *x.shape[1:]), x.dtype)
    first, last = (zeros, zeros) if edge == "zero" else (x[1:2], x[-2:-1])
    return xp_of(x).concatenate([first, x, last], axis=0)


def _pad_back(dp, edge):
    dx = dp[1:-1].copy()
    if edge == "reflect":  # those rows were used twice
        dx[1] += dp[0]
        dx[-2] += dp[-1]
    return dx


def _check(op, x, edge):
    check.floats(op, x=x)
    check.shape(op, "x", x, "(B, H, W, C) with H and W at least 2", x.ndim == 4 and min(x.shape[1:3]) >= 2)
    if edge not in ("zero", "reflect"):
        raise ValueError(f"{op}: edge is {edge!r}, expected 'zero' or 'reflect'")
