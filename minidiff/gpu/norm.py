"""Group norm in one kernel each way, with silu behind it and with the additions that stand before it."""

import numpy as np

from ..backend import xp_of
from .source import fits, launch

WIDE = 64  # channels a block: 256 bytes side by side, a few whole sectors of memory
BLOCKS = 264  # two for each of an H100's 132 multiprocessors; with fewer, narrower spans keep more of them busy
THREADS = 512  # a block has no more: the kernels are bounded to it


def group_norm(x, gamma, beta, groups, eps=1e-5):
    """Fast version of `ops.group_norm`."""
    return _one_input(x, gamma, beta, groups, eps, with_silu=False)


def group_norm_silu(x, gamma, beta, groups, eps=1e-5, temb=None):
    """Fast version of `ops.group_norm_silu`."""
    if temb is not None and (temb.shape != (x.shape[0], x.shape[-1]) or not fits(temb)):
        return NotImplemented
    return _one_input(x, gamma, beta, groups, eps, with_silu=True, temb=temb)


def _one_input(x, gamma, beta, groups, eps, with_silu, temb=None):
    if x.ndim < 2 or not _fits(x, gamma, beta, groups):
        return NotImplemented
    _, y, saved = _forward(x, None, temb, None, gamma, beta, groups, eps, with_silu)

    def back(dy):
        dx, dgamma, dbeta, dtemb = _backward(saved, dy, None)
        return (dx, dgamma, dbeta) if temb is None else (dx, dgamma, dbeta, dtemb)

    return y, back


def add_group_norm_silu(x, gamma, beta, groups, eps=1e-5, bias=None, temb=None, residual=None):
    """Fast version of `ops.add_group_norm_silu`."""
    C = x.shape[-1]
    given = [(a, shape) for a, shape in ((bias, (C,)), (temb, (x.shape[0], C)), (residual, x.shape)) if a is not None]
    if x.ndim < 2 or not _fits(x, gamma, beta, groups) or any(a.shape != shape or not fits(a) for a, shape in given):
        return NotImplemented
    s, y, saved = _forward(x, bias, temb, residual, gamma, beta, groups, eps, True)

    def back(dy, ds=None):
        dx, dgamma, dbeta, dtemb = _backward(saved, dy, ds)
        return dx, dgamma, dbeta, dtemb.sum(axis=0), dtemb

    return (s, y), back


def _fits(x, gamma, beta, groups):
    C = x.shape[-1]
    whole = type(groups) is int and groups > 0 and C % groups == 0 and C // groups <= THREADS
    return whole and fits(x, gamma, beta) and gamma.shape == beta.shape == (C,)


def _shape(B, pixels, C, groups):
    """Grid and block: the widest span of whole groups that leaves enough blocks to fill the card."""
    per_group = C // groups
    spans = [k for k in range(1, groups + 1) if groups % k == 0 and k * per_group <= max(WIDE, per_group)]
    k = max([k for k in spans if B * groups // k >= BLOCKS], default=1)
    width = k * per_group
    return (B * (groups // k),), (width, max(1, min(pixels, THREADS // width)))


def _forward(x, bias, temb, residual, gamma, beta, groups, eps, with_silu):
    xp, B, C = xp_of(x, gamma), x.shape[0], x.shape[-1]
    pixels = x.size // (B * C)
    grid, block = _shape(B, pixels, C, groups)
    y, mean, rstd = xp.empty(x.shape, x.dtype), xp.empty((B, groups), x.dtype), xp.empty((B, groups), x.dtype)
    added = any(a is not None for a in (bias, temb, residual))
    s = xp.empty(x.shape, x.dtype) if added else None
    sizes = np.int32(pixels), np.int32(C), np.int32(C // groups)
    launch(xp, "group_norm_forward", grid, block, x, bias, temb, residual, gamma, beta, s, y, mean, rstd, *sizes,
           np.float32(eps), np.int32(with_silu))  # fmt: skip
    s = s if added else x
    return s, y, (s, gamma, beta, mean, rstd, grid, block, sizes, np.int32(with_silu))


def _backward(saved, dy, dsum):
    s, gamma, beta, mean, rstd, grid, block, sizes, with_silu = saved
    xp, B, C = xp_of(s, dy), s.shape[0], s.shape[-1]
    dy = xp.ascontiguousarray(dy)
    dsum = dsum if dsum is None else xp.ascontiguousarray(dsum)
    ds, (dgamma, dbeta, dtemb) = xp.empty(s.shape, s.dtype), (xp.empty((B, C), s.dtype) for _ in range(3))
    launch(xp, "group_norm_backward", grid, block, dy, s, gamma, beta, mean, rstd, dsum, ds, dgamma, dbeta, dtemb,
           *sizes, with_silu)  # fmt: skip
    return ds, dgamma.sum(axis=0), dbeta.sum(axis=0), dtemb
