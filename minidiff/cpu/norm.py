"""Group norm, alone or with silu behind it, a few images at a time: they are read from memory once and stay in cache.

Written out, y = x a + c with one a and one c for each image and channel, and dx = dz A + (x - mean) D + F likewise, so
what is left are a handful of passes over a piece in cache. Sums over pixels are products with a row of ones.
"""

import numpy as np

from .activation import silu_back, silu_of_minus
from .pieces import cut
from .rows import repeats, tiled
from .scratch import ones, scratch
from .threads import share

PIECE = 1 << 15  # numbers a piece, at least one image
SMALL = 1 << 11


def group_norm(x, gamma, beta, groups, eps=1e-5):
    """Fast version of `ops.group_norm`."""
    return _group_norm(x, gamma, beta, groups, eps, with_silu=False)


def group_norm_silu(x, gamma, beta, groups, eps=1e-5):
    """Fast version of `ops.group_norm_silu`."""
    return _group_norm(x, gamma, beta, groups, eps, with_silu=True)


def _group_norm(x, gamma, beta, groups, eps, with_silu):
    C = x.shape[-1] if x.ndim > 1 else 0
    if not C or x.dtype not in (np.float32, np.float64) or x.size < SMALL or not x.flags.c_contiguous:
        return NotImplemented
    if not all(type(p) is np.ndarray and p.dtype == x.dtype and p.shape == (C,) for p in (gamma, beta)):
        return NotImplemented
    if type(groups) is not int or groups < 1 or C % groups:
        return NotImplemented
    B = x.shape[0]
    flat = x.reshape(B, -1, C)  # (B, P, C)
    P = flat.shape[1]
    n = repeats(P, C)
    wide = (-1, P // n, n * C)  # several pixels side by side, so that inner loops are long
    count, pieces = P * (C // groups), cut(B, max(1, PIECE // (P * C)))
    mean, rstd = np.empty((B, 1, C), x.dtype), np.empty((B, 1, C), x.dtype)
    y = np.empty_like(flat)
    gate = np.empty_like(flat) if with_silu else None
    row = ones(P, x.dtype)

    def group_mean(sums):
        """Sums over pixels (b, 1, C) to means over a group, given back to each of its channels."""
        means = sums.reshape(len(sums), groups, -1).sum(axis=2, keepdims=True) * (1.0 / count)
        return np.repeat(means, C // groups, axis=2).reshape(sums.shape)

    def forward(i):
        b = slice(*pieces[i])
        xb, yb = flat[b], y[b]
        mean[b] = group_mean(np.matmul(row, xb)[:, None])
        squares = scratch("norm", xb.shape, x.dtype)
        np.subtract(xb.reshape(wide), tiled(mean[b], n), out=squares.reshape(wide))
        squares *= squares
        np.divide(1.0, np.sqrt(group_mean(np.matmul(row, squares)[:, None]) + eps), out=rstd[b])
        scale = rstd[b] * gamma
        shift = beta - mean[b] * scale
        if not with_silu:
            np.multiply(xb.reshape(wide), tiled(scale, n), out=yb.reshape(wide))
            yb.reshape(wide)[...] += tiled(shift, n)
        else:
            minus_z = squares
            np.multiply(xb.reshape(wide), tiled(-scale, n), out=minus_z.reshape(wide))
            minus_z.reshape(wide)[...] -= tiled(shift, n)
            silu_of_minus(minus_z, gate[b], yb)

    share(forward, len(pieces))

    def back(dy):  # saved: x, mean, rstd; with silu also y, which the next layer keeps anyhow, and the sigmoid
        dflat = dy.reshape(B, P, C)
        dx, dbeta, dgamma = np.empty_like(flat), np.empty((B, 1, C), x.dtype), np.empty((B, 1, C), x.dtype)

        def backward(i):
            b = slice(*pieces[i])
            dz, dxb = dflat[b], dx[b]
            if with_silu:
                dz = scratch("norm dz", dxb.shape, x.dtype)
                silu_back(dflat[b], y[b], gate[b], dz)
            centred, product = scratch("norm", dxb.shape, x.dtype), dxb
            np.subtract(flat[b].reshape(wide), tiled(mean[b], n), out=centred.reshape(wide))
            np.multiply(dz, centred, out=product)
            dbeta[b] = np.matmul(row, dz)[:, None]
            dgamma[b] = np.matmul(row, product)[:, None] * rstd[b]
            through_mean, through_variance = group_mean(dbeta[b] * gamma), group_mean(dgamma[b] * gamma)
            centred_wide, out = centred.reshape(wide), dxb.reshape(wide)
            np.multiply(dz.reshape(wide), tiled(rstd[b] * gamma, n), out=out)
            centred_wide *= tiled(rstd[b] * rstd[b] * through_variance, n)
            out -= centred_wide
            out -= tiled(rstd[b] * through_mean, n)

        share(backward, len(pieces))
        return dx.reshape(x.shape), dgamma.sum(axis=(0, 1)), dbeta.sum(axis=(0, 1))

    return y.reshape(x.shape), back
