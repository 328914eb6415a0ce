"""Convolution over images, channels last: gather each output pixel's receptive field into a row, then one matrix product."""

from ..backend import xp_of
from ..complex_step import add_to
from . import check
from .dispatch import has_fast_version


def _check(x, w, b=None, stride=1, padding=0):
    check.floats("conv2d", x=x, w=w, b=b)
    check.shape("conv2d", "w", w, "(KH, KW, C, O)", w.ndim == 4)
    fits = x.ndim == 4 and x.shape[3] == w.shape[2]
    check.shape("conv2d", "x", x, "(B, H, W, {}) to fit w {}", fits, w.shape[2], w.shape)
    check.shape("conv2d", "b", b, "({},)", b is None or b.shape == w.shape[3:], w.shape[3])
    if not isinstance(stride, int) or stride < 1:
        raise ValueError(f"conv2d: stride is {stride!r}, expected a whole number >= 1")
    (top, bottom), (left, right) = sides(padding)
    if min(top, bottom, left, right) < 0:
        raise ValueError(f"conv2d: padding is {padding}, expected no negative number")
    (_, H, W, _), (KH, KW, _, _) = x.shape, w.shape
    if top + H + bottom < KH or left + W + right < KW:
        raise ValueError(f"conv2d: x {x.shape} with padding {padding} is smaller than the kernel {KH} x {KW}")


@has_fast_version(_check)
def conv2d(x, w, b=None, stride=1, padding=0):
    """y[n, i, j] = sum over (u, v) of xpad[n, i s + u, j s + v] @ w[u, v] + b, a cross-correlation as in every framework.

    x (B, H, W, C)   w (KH, KW, C, O)   b (O,) or None   ->   y (B, OH, OW, O),   OH = (H + pads - KH) // stride + 1
    stride   whole number >= 1
    padding  zeros around the image: a whole number, or ((top, bottom), (left, right))
    Fast: cpu.conv2d, gpu.conv2d
    """
    pads, OH, OW = layout(x, w, stride, padding)
    (KH, KW, C, O), B = w.shape, x.shape[0]

    def columns():
        return gather(x, KH, KW, stride, pads, OH, OW).reshape(B * OH * OW, KH * KW * C)

    wide = w.reshape(KH * KW * C, O)
    y = columns() @ wide  # (B OH OW, O)
    if b is not None:
        y = add_to(y, b)

    def back(dy):  # saved: x, w. The columns are KH KW times as wide as x and are gathered again
        rows = dy.reshape(B * OH * OW, O)
        dw = (columns().T @ rows).reshape(w.shape)
        dx = scatter((rows @ wide.T).reshape(B, OH, OW, KH, KW, C), x.shape, stride, pads)
        return (dx, dw) if b is None else (dx, dw, rows.sum(axis=0))

    return y.reshape(B, OH, OW, O), back


def sides(padding):
    """The zeros on each side.   a whole number, or ((top, bottom), (left, right))   ->   ((top, bottom), (left, right))"""
    return ((padding, padding), (padding, padding)) if isinstance(padding, int) else padding


def layout(x, w, stride, padding):
    """What follows from the shapes and options of a convolution.   ->   ((top, bottom), (left, right)), OH, OW"""
    (top, bottom), (left, right) = pads = sides(padding)
    (_, H, W, _), (KH, KW, _, _) = x.shape, w.shape
    return pads, (top + H + bottom - KH) // stride + 1, (left + W + right - KW) // stride + 1


def gather(x, KH, KW, stride, pads, OH, OW):
    """The receptive field of each output pixel.   x (B, H, W, C)   ->   (B, OH, OW, KH, KW, C)"""
    if KH == KW == stride == 1 and not any(map(any, pads)):
        return x.reshape((*x.shape[:3], 1, 1, x.shape[3]))
    xpad = pad_image(x, pads)
    cols = xp_of(x).empty((x.shape[0], OH, OW, KH, KW, x.shape[3]), x.dtype)
    for u in range(KH):
        for v in range(KW):
            cols[:, :, :, u, v] = xpad[:, u : u + stride * OH : stride, v : v + stride * OW : stride]
    return cols


def scatter(dcols, shape, stride, pads):
    """The transpose of `gather`: a pixel gathered k times gets a sum of k terms.   (B, OH, OW, KH, KW, C)   ->   `shape`"""
    (_, OH, OW, KH, KW, _), (B, H, W, C) = dcols.shape, shape
    if KH == KW == stride == 1 and not any(map(any, pads)):
        return dcols.reshape(shape)
    (top, bottom), (left, right) = pads
    dxpad = xp_of(dcols).zeros((B, top + H + bottom, left + W + right, C), dcols.dtype)
    for u in range(KH):
        for v in range(KW):
            dxpad[:, u : u + stride * OH : stride, v : v + stride * OW : stride] += dcols[:, :, :, u, v]
    return crop_image(dxpad, pads)


def pad_image(x, pads):
    """Zeros around each image.   x (B, H, W, C)   pads ((top, bottom), (left, right))"""
    if not any(map(any, pads)):
        return x
    (top, bottom), (left, right) = pads
    B, H, W, C = x.shape
    xpad = xp_of(x).zeros((B, top + H + bottom, left + W + right, C), x.dtype)
    xpad[:, top : top + H, left : left + W] = x
    return xpad


def crop_image(xpad, pads):
    """The transpose and inverse of `pad_image`.   xpad (B, H', W', C)   ->   (B, H, W, C)"""
    (top, bottom), (left, right) = pads
    return xpad[:, top : xpad.shape[1] - bottom, left : xpad.shape[2] - right]
