"""Norm, scale and shift of tokens, a few images at a time. Kept for the way back is the normalised x, in place of x itself.

Sums over features and over rows are products with a vector, which read an array once and write next to nothing.
"""

import numpy as np

from ..settings import dropped, is_no_grad
from ..thread_team import share
from .fits import fits
from .pieces import cut, even, numbers
from .rows import repeats, tiled
from .scratch import ones, scratch

SMALL = 1 << 11


def modulate(x, shift, scale, eps=1e-6):
    """Fast version of `ops.modulate`."""
    if x.size < SMALL or not fits(x, shift, scale):
        return NotImplemented
    shape, dtype, (B, D) = x.shape, x.dtype, scale.shape
    flat, factor, keep = x.reshape(B, -1, D), scale + 1, not is_no_grad()  # (B, N, D)
    N = flat.shape[1]
    n = repeats(N, D)
    pieces = [slice(*piece) for piece in cut(B, even(B, numbers(x.size) // (N * D)))]
    y, rstd = np.empty_like(flat), np.empty((B, N, 1), dtype)
    xhat = np.empty_like(flat) if keep else None

    def wide(rows):
        """(b, N, D) with n rows side by side, so that inner loops are long; a view"""
        return rows.reshape(-1, N // n, n * D)

    def beside(vector):
        """(b, D) as it stands beside `wide` rows"""
        return tiled(vector, n)[:, None]

    def forward(i):
        b = pieces[i]
        z = xhat[b] if keep else y[b]
        np.subtract(flat[b], flat[b] @ ones(D, dtype)[:, None] / D, out=z)
        np.divide(1, np.sqrt(np.vecdot(z, z)[..., None] / D + eps), out=rstd[b])
        z *= rstd[b]
        np.multiply(wide(z), beside(factor[b]), out=wide(y[b]))
        rows = wide(y[b])
        rows += beside(shift[b])

    share(forward, len(pieces))
    if not keep:
        return y.reshape(shape), dropped

    def back(dy):  # saved: xhat, rstd, 1 + scale
        dflat, dx = dy.reshape(B, N, D), np.empty((B, N, D), dtype)
        dshift, dscale = np.empty((B, D), dtype), np.empty((B, D), dtype)

        def backward(i):
            b = pieces[i]
            dz, out, work, sums = dflat[b], dx[b], scratch("modulate", xhat[b].shape, dtype), ones(N, dtype)
            np.matmul(sums, dz, out=dshift[b])
            np.multiply(dz, xhat[b], out=work)
            np.matmul(sums, work, out=dscale[b])
            through_mean, through_variance = (a @ factor[b][..., None] / D for a in (dz, work))  # (b, N, 1)
            np.multiply(wide(dz), beside(factor[b]), out=wide(out))
            np.multiply(xhat[b], through_variance, out=work)
            out -= work
            out -= through_mean
            out *= rstd[b]

        share(backward, len(pieces))
        return dx.reshape(shape), dshift, dscale

    return y.reshape(shape), back
