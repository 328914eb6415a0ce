"""Attention without its table of weights: a few images' scores at a time, worked out again on the way back.

Dao et al. 2022 (arXiv:2205.14135) in the coarse: what is kept is one number for each query, the logarithm of its sum of
exponentials, instead of one for each pair of query and key.
"""

import math

import numpy as np

from ..thread_team import share
from .fits import fits
from .pieces import cut, even
from .scratch import scratch

SCORES = 1 << 17  # numbers a piece may hold of scores, at least one image
TWO = 1 << 15  # scores in all from which a second thread is worth it


def attention(q, k, v, heads=1, mask=None, scale=None, bias=None):
    """Fast version of `ops.attention`, for calls without mask and bias."""
    if mask is not None or bias is not None or not all(map(fits, (q, k, v))):
        return NotImplemented
    (B, N, D), M, E = q.shape, k.shape[1], v.shape[2]
    scale = 1.0 / math.sqrt(D // heads) if scale is None else scale
    pieces = _pieces(B, heads, N * M)
    y, log_sum = np.empty((B, N, E), q.dtype), np.empty((B, heads, N, 1), q.dtype)

    def split(z, piece):
        """(B, n, heads d)  ->  (b, h, n, d), a view of the images and heads of this piece"""
        images, some = piece
        b = z[images]
        return b.reshape(len(b), b.shape[1], heads, -1).transpose(0, 2, 1, 3)[:, some]

    def scores(piece):
        (images, some), d = piece, q.dtype
        out = scratch("scores", (images.stop - images.start, some.stop - some.start, N, M), d)
        np.matmul(split(q, piece), split(k, piece).transpose(0, 1, 3, 2), out=out)
        out *= scale
        return out

    def forward(i):
        piece = pieces[i]
        weights = scores(piece)
        most = weights.max(axis=-1, keepdims=True)
        weights -= most
        np.exp(weights, out=weights)
        total = weights.sum(axis=-1, keepdims=True)
        np.add(most, np.log(total), out=log_sum[piece])
        out = split(y, piece)
        np.matmul(weights, split(v, piece), out=out)
        out /= total

    share(forward, len(pieces))

    def back(dy):  # saved: q, k, v, y, log_sum
        dq, dk, dv = np.empty_like(q), np.empty_like(k), np.empty_like(v)

        def backward(i):
            piece = pieces[i]
            weights, dyh = scores(piece), split(dy, piece)
            weights -= log_sum[piece]
            np.exp(weights, out=weights)
            np.matmul(weights.transpose(0, 1, 3, 2), dyh, out=split(dv, piece))
            dscores = scratch("dscores", weights.shape, q.dtype)
            np.matmul(dyh, split(v, piece).transpose(0, 1, 3, 2), out=dscores)
            dscores -= (dyh * split(y, piece)).sum(axis=-1, keepdims=True)
            dscores *= weights
            dscores *= scale
            np.matmul(dscores, split(k, piece), out=split(dq, piece))
            np.matmul(dscores.transpose(0, 1, 3, 2), split(q, piece), out=split(dk, piece))

        share(backward, len(pieces))
        return dq, dk, dv

    return y, back


def _pieces(B, heads, each):
    """[(images, heads)], two slices: some whole images, or of a single image half of the heads.   each: scores of a head"""
    parts = 2 if B * heads * each >= TWO else 1  # at least
    if B < parts:
        return [(slice(0, B), slice(*some)) for some in cut(heads, -(-heads // parts))]
    most = min(SCORES // (heads * each), -(-B // parts))
    return [(slice(*images), slice(0, heads)) for images in cut(B, even(B, most))]
