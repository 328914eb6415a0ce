"""Attention a few images at a time, or some queries of one, whose scores stay in cache. A large table of weights is worked out
again on the way back.

Dao et al. 2022 (arXiv:2205.14135) in the coarse: the weights are never divided by their sum, which divides y, and on the way
back dy. Scores close to 0 need no row's maximum subtracted: NumPy's row maxima and row sums take longer than the exponentials.
"""

import math

import numpy as np

from ..settings import dropped, is_no_grad
from ..thread_team import share
from .fits import fits
from .pieces import cut, even, is_lone
from .scratch import ones, scratch

SCORES = 1 << 17  # numbers a piece may hold of scores, at least one image
TILE = 1 << 20  # scores of an image from which on it is not taken whole, where no gradient follows
TWO = 1 << 15  # scores in all from which a second thread is worth it
NEAR = 30  # exp(30) is 1e13: neither sums of such numbers nor dy divided by them leave float32's range
KEPT = 4  # weights are kept if there are at most so many for each feature: the size of a transformer's widest layer


def attention(q, k, v, heads=1, mask=None, scale=None, bias=None):
    """Fast version of `ops.attention`, for calls without mask and bias."""
    if mask is not None or bias is not None or not all(map(fits, (q, k, v))):
        return NotImplemented
    (B, N, D), M, d, dtype = q.shape, k.shape[1], v.shape[2] // heads, q.dtype
    scale = 1.0 / math.sqrt(D // heads) if scale is None else scale
    lone, keeps_back = is_lone(2 * B * N * M * D), not is_no_grad()
    pieces = _pieces(B, heads, N, M, lone) if keeps_back else _tiles(B, heads, N, M, lone)
    kept, most = [None] * len(pieces), [None] * len(pieces)
    y, total = np.empty((B, N, heads * d), dtype), np.empty((B, heads, N, 1), dtype)

    def split(z, piece, rows=slice(None)):
        """(B, n, heads d)  ->  (b, h, n, d), a view of the images and heads of this piece"""
        images, some, _ = piece
        b = z[images, rows]
        return b.reshape(len(b), b.shape[1], heads, -1).transpose(0, 2, 1, 3)[:, some]

    def work(name, i, *shape):
        """Scratch memory (b, h, ...)"""
        return scratch(f"attention {name}", (*total[pieces[i]].shape[:2], *shape), dtype)

    def scores(i, out):
        qh, kh = split(q, pieces[i], pieces[i][2]), split(k, pieces[i])
        return np.matmul(np.multiply(qh, scale, out=work("q", i, *qh.shape[2:])), kh.transpose(0, 1, 3, 2), out=out)

    def forward(i):
        piece = pieces[i]
        n = total[piece].shape[2]
        weights = work("scores", i, n, M)
        if keeps_back and heads * M <= KEPT * D:
            weights = kept[i] = np.empty_like(weights)
        scores(i, weights)
        if not (weights.min() >= -NEAR and weights.max() <= NEAR):  # so NaN is not near
            most[i] = weights.max(axis=-1, keepdims=True)
            weights -= most[i]
        np.exp(weights, out=weights)
        np.matmul(weights, ones(M, dtype)[:, None], out=total[piece])
        np.divide(np.matmul(weights, split(v, piece), out=work("y", i, n, d)), total[piece], out=split(y, piece, piece[2]))

    share(forward, len(pieces), lone)
    if not keeps_back:
        return y, dropped

    def back(dy):  # saved: q, k, v, y, total; weights if they are few, else what was subtracted from large scores
        dq, dk, dv = np.empty_like(q), np.empty_like(k), np.empty_like(v)

        def backward(i):
            piece, weights = pieces[i], kept[i]
            if weights is None:
                weights = scores(i, work("scores", i, N, M))
                if most[i] is not None:
                    weights -= most[i]
                np.exp(weights, out=weights)
            # dscores = scale weights (dy v^T - delta) / total, with delta = sum of dy y over features as one more column
            left, right = work("dy", i, N, d + 1), work("v", i, M, d + 1)
            dyh = np.divide(split(dy, piece), total[piece], out=left[..., :d])
            products = np.multiply(dyh, split(y, piece), out=work("y", i, N, d))
            np.matmul(products, ones(d, dtype), out=left[..., d])
            np.multiply(split(v, piece), scale, out=right[..., :d])
            right[..., d] = -scale
            dscores = np.matmul(left, right.transpose(0, 1, 3, 2), out=work("dscores", i, N, M))
            dscores *= weights
            np.matmul(weights.transpose(0, 1, 3, 2), dyh, out=split(dv, piece))
            np.matmul(dscores, split(k, piece), out=split(dq, piece))
            np.matmul(dscores.transpose(0, 1, 3, 2), split(q, piece), out=split(dk, piece))

        share(backward, len(pieces))
        return dq, dk, dv

    return y, back


def _pieces(B, heads, N, M, lone=False):
    """[(images, heads, queries)], three slices: some whole images, or of a single image half of the heads; all queries."""
    parts = 2 if not lone and B * heads * N * M >= TWO else 1  # at least
    if B < parts:
        return [(slice(0, B), slice(*some), slice(0, N)) for some in cut(heads, -(-heads // parts))]
    most = min(SCORES // (heads * N * M), -(-B // parts))
    return [(slice(*images), slice(0, heads), slice(0, N)) for images in cut(B, even(B, most))]


def _tiles(B, heads, N, M, lone=False):
    """The same for a pass without a way back, where a piece may be some of the queries: no image's table is made whole."""
    if heads * N * M <= TILE:
        return _pieces(B, heads, N, M, lone)
    some_heads = cut(heads, max(1, min(TILE // (N * M), -(-heads // 2))))
    some_rows = cut(N, even(N, max(1, TILE // M)))
    return [(slice(n, n + 1), slice(*h), slice(*rows)) for n in range(B) for h in some_heads for rows in some_rows]
