"""Group norm, alone or with silu behind it, a few images at a time: they are read from memory once and stay in cache.

Written out, y = x a + c with one a and one c for each image and channel, and dx = dz A - (x - mean) D - F likewise, so
what is left are a handful of passes over a piece in cache. Sums over pixels are products with a row of ones, means over
groups products with a small matrix.
"""

import functools

import numpy as np

from ..settings import dropped, is_no_grad
from ..thread_team import share
from .activation import silu_back, silu_of_minus
from .pieces import cut, even, numbers
from .rows import repeats, tiled
from .scratch import ones, scratch

SMALL = 1 << 9


def group_norm(x, gamma, beta, groups, eps=1e-5):
    """Fast version of `ops.group_norm`."""
    return _group_norm(x, gamma, beta, groups, eps, False)


def group_norm_silu(x, gamma, beta, groups, eps=1e-5, temb=None):
    """Fast version of `ops.group_norm_silu`. x + temb is never made: the same for all pixels, temb goes into the mean."""
    return _group_norm(x, gamma, beta, groups, eps, True, temb)


def _group_norm(x, gamma, beta, groups, eps, with_silu, temb=None):
    if not _fits(x, gamma, beta, groups, temb):
        return NotImplemented
    B, C = x.shape[0], x.shape[-1]
    flat = x.reshape(B, -1, C)  # (B, P, C)
    P = flat.shape[1]
    n = repeats(P, C)
    wide = (-1, P // n, n * C)  # several pixels side by side, so that inner loops are long
    pieces, row = cut(B, even(B, numbers(x.size) // (P * C))), ones(P, x.dtype)
    group_mean = _group_means(groups, C, P, x.dtype)  # sums over pixels (b, C) @ this: the group's mean, for each channel
    mean, rstd = np.empty((B, C), x.dtype), np.empty((B, C), x.dtype)
    y, keep = np.empty_like(flat), not is_no_grad()
    below = np.empty_like(flat) if with_silu and keep else None

    def rows(z):
        """(b, C), one number for each image and channel, beside pixels that are seen as `wide`."""
        return tiled(z, n)[:, None]

    def forward(i):
        b = slice(*pieces[i])
        xb, out = flat[b].reshape(wide), y[b].reshape(wide)
        sums = row @ flat[b]  # (b, C)
        if temb is None:
            np.matmul(sums, group_mean, out=mean[b])
        else:  # the mean of x + temb, less temb: what x itself is centred by
            np.subtract((sums + P * temb[b]) @ group_mean, temb[b], out=mean[b])
        work = scratch("norm", flat[b].shape, x.dtype)
        np.subtract(xb, rows(mean[b]), out=work.reshape(wide))
        work *= work
        np.divide(1.0, np.sqrt((row @ work) @ group_mean + eps), out=rstd[b])
        scale = rstd[b] * gamma
        shift = beta - mean[b] * scale
        if with_silu:
            np.multiply(xb, rows(-scale), out=out)
            out -= rows(shift)
            silu_of_minus(y[b], below[b] if keep else work, y[b])
        else:
            np.multiply(xb, rows(scale), out=out)
            out += rows(shift)

    share(forward, len(pieces))
    if not keep:
        return y.reshape(x.shape), dropped

    def back(dy):  # saved: x, mean, rstd; with silu also y, which the next layer keeps anyhow, and 1 + exp
        dflat = dy.reshape(B, P, C)
        dx, dbeta, dgamma = np.empty_like(flat), np.empty_like(mean), np.empty_like(mean)
        dtemb = None if temb is None else np.empty_like(mean)

        def backward(i):
            b = slice(*pieces[i])
            dz, out = dflat[b], dx[b]
            if with_silu:
                dz = scratch("norm dz", out.shape, x.dtype)
                silu_back(dflat[b], y[b], below[b], dz)
            centred = scratch("norm", out.shape, x.dtype)
            wide_centred, wide_out = centred.reshape(wide), out.reshape(wide)
            np.subtract(flat[b].reshape(wide), rows(mean[b]), out=wide_centred)
            np.multiply(dz, centred, out=out)
            np.matmul(row, dz, out=dbeta[b])
            np.multiply(row @ out, rstd[b], out=dgamma[b])
            through_mean, through_variance = (dbeta[b] * gamma) @ group_mean, (dgamma[b] * gamma) @ group_mean
            np.multiply(dz.reshape(wide), rows(rstd[b] * gamma), out=wide_out)
            wide_centred *= rows(rstd[b] * rstd[b] * through_variance)
            out -= centred
            wide_out -= rows(rstd[b] * through_mean)
            if temb is not None:
                np.matmul(row, out.reshape(flat[b].shape), out=dtemb[b])

        share(backward, len(pieces))
        gradients = dx.reshape(x.shape), dgamma.sum(axis=0), dbeta.sum(axis=0)
        return gradients if temb is None else (*gradients, dtemb)

    return y.reshape(x.shape), back


@functools.lru_cache(64)
def _group_means(groups, C, P, dtype):
    """(C, C): 1 / (numbers in a group) between channels of one group, 0 elsewhere. Not to be written to."""
    each = C // groups
    return np.kron(np.eye(groups, dtype=dtype), np.full((each, each), 1.0 / (P * each), dtype))


def _fits(x, gamma, beta, groups, temb):
    """Whether every argument is one that the reference would take, and of a kind that is quick here."""
    if x.dtype not in (np.float32, np.float64) or x.size < SMALL or x.ndim < 2 or not x.flags.c_contiguous:
        return False
    C = x.shape[-1]
    if not all(type(p) is np.ndarray and p.dtype == x.dtype and p.shape == (C,) for p in (gamma, beta)):
        return False
    if temb is not None and (type(temb) is not np.ndarray or temb.dtype != x.dtype or temb.shape != (x.shape[0], C)):
        return False
    return type(groups) is int and groups >= 1 and C % groups == 0
