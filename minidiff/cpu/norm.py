"""Group norm, alone or with silu behind it, a few images at a time: they are read from memory once and stay in cache.

Written out, y = x a + c with one a and one c for each image and channel. Likewise dx = dz A - (x - mean) D - F. So a few
passes over a piece in cache are enough. Sums over pixels are products with a row of ones, means over
groups products with a small matrix.
"""

import functools

import numpy as np

from ..settings import dropped, is_no_grad
from ..thread_team import share
from .activation import silu_back_from, silu_of_minus
from .fits import fits
from .pieces import cut, even, numbers
from .rows import repeats, tiled
from .scratch import scratch

SMALL = 1 << 9
FEW = 1 << 8  # pixels of all images for which the loops are too few to write anything side by side


def group_norm(x, gamma, beta, groups, eps=1e-5):
    """Fast version of `ops.group_norm`."""
    return _group_norm(x, gamma, beta, groups, eps, False)


def group_norm_silu(x, gamma, beta, groups, eps=1e-5, temb=None):
    """Fast version of `ops.group_norm_silu`. x + temb is never made: the same for all pixels, temb goes into the mean."""
    return _group_norm(x, gamma, beta, groups, eps, True, temb)


def _group_norm(x, gamma, beta, groups, eps, with_silu, temb=None):
    if x.size < SMALL or x.ndim < 2 or not fits(x, gamma, beta, temb):
        return NotImplemented
    B, C = x.shape[0], x.shape[-1]
    flat = x.reshape(B, -1, C)  # (B, P, C)
    pixels = _Pixels(flat.shape[1], C, groups, x.dtype, few=B * flat.shape[1] < FEW)
    pieces = [slice(*piece) for piece in cut(B, even(B, numbers(x.size) // (flat.shape[1] * C)))]
    mean, rstd = np.empty((B, C), x.dtype), np.empty((B, C), x.dtype)
    y, keep = np.empty_like(flat), not is_no_grad()

    def forward(i):
        b = pieces[i]
        pixels.statistics(flat[b], None if temb is None else temb[b], eps, mean[b], rstd[b])
        scale = rstd[b] * gamma
        if with_silu:
            pixels.scale_and_shift(flat[b], -scale, mean[b] * scale - beta, y[b])
            silu_of_minus(y[b], scratch("norm", y[b].shape, x.dtype), y[b], finite=True)
        else:
            pixels.scale_and_shift(flat[b], scale, beta - mean[b] * scale, y[b])

    share(forward, len(pieces))
    if not keep:
        return y.reshape(x.shape), dropped

    def back(dy):  # saved: x, mean, rstd; with silu also y, which the next layer keeps anyhow
        dflat, dx = dy.reshape(flat.shape), np.empty_like(flat)
        dgamma, dbeta, dtemb = (np.empty_like(mean) for _ in range(3))

        def backward(i):
            b = pieces[i]
            dz = dflat[b]
            if with_silu:
                dz, z, scale = scratch("norm dz", dz.shape, x.dtype), scratch("norm", dz.shape, x.dtype), rstd[b] * gamma
                pixels.scale_and_shift(flat[b], scale, beta - mean[b] * scale, z)
                silu_back_from(dflat[b], z, y[b], dz)
            pixels.gradients(dz, flat[b], mean[b], rstd[b], gamma, dx[b], dgamma[b], dbeta[b])
            if temb is not None:
                np.matmul(pixels.ones, dx[b], out=dtemb[b])

        share(backward, len(pieces))
        gradients = dx.reshape(x.shape), dgamma.sum(axis=0), dbeta.sum(axis=0)
        return gradients if temb is None else (*gradients, dtemb)

    return y.reshape(x.shape), back


@functools.lru_cache(64)
class _Pixels:
    """What is done to a piece, some images (b, P, C), with one number for each image and channel (b, C)."""

    def __init__(self, P, C, groups, dtype, few):
        n, each = 1 if few else repeats(P, C), C // groups
        self.P, self.n, self.wide = P, n, (-1, P // n, n * C)  # n pixels side by side, so that inner loops are long
        self.ones = np.ones(P, dtype)  # sums over pixels (b, C) times group_mean: the group's mean, for each channel
        self.group_mean = np.kron(np.eye(groups, dtype=dtype), np.full((each, each), 1.0 / (P * each), dtype))  # (C, C)

    def beside(self, z):
        """(b, C) as it stands beside pixels that are seen as `wide`."""
        return tiled(z, self.n)[:, None]

    def statistics(self, x, temb, eps, mean, rstd):
        """Writes what x is centred by into mean, and 1 / standard deviation into rstd."""
        sums = self.ones @ x  # (b, C)
        if temb is None:
            np.matmul(sums, self.group_mean, out=mean)
        else:  # the mean of x + temb, less temb: what x itself is centred by
            np.subtract((sums + self.P * temb) @ self.group_mean, temb, out=mean)
        squares = scratch("norm", x.shape, x.dtype)
        np.subtract(x.reshape(self.wide), self.beside(mean), out=squares.reshape(self.wide))
        squares *= squares
        np.divide(1.0, np.sqrt((self.ones @ squares) @ self.group_mean + eps), out=rstd)

    def scale_and_shift(self, x, scale, shift, y):
        """y = x scale + shift"""
        y = y.reshape(self.wide)
        np.multiply(x.reshape(self.wide), self.beside(scale), out=y)
        y += self.beside(shift)

    def gradients(self, dz, x, mean, rstd, gamma, dx, dgamma, dbeta):
        """Writes dx, and what each image adds to dgamma and dbeta.   dz: the gradient of the norm's output"""
        centred = scratch("norm", x.shape, x.dtype)
        wide_centred, wide_dx = centred.reshape(self.wide), dx.reshape(self.wide)
        np.subtract(x.reshape(self.wide), self.beside(mean), out=wide_centred)
        np.multiply(dz, centred, out=dx)
        np.matmul(self.ones, dz, out=dbeta)
        np.multiply(self.ones @ dx, rstd, out=dgamma)
        through_mean, through_variance = (dbeta * gamma) @ self.group_mean, (dgamma * gamma) @ self.group_mean
        np.multiply(dz.reshape(self.wide), self.beside(rstd * gamma), out=wide_dx)
        wide_centred *= self.beside(rstd * rstd * through_variance)
        dx -= centred
        wide_dx -= self.beside(rstd * through_mean)
