"""Attention with its softmax in one kernel forward and one backward, between two batched matrix products."""

import math

import numpy as np

from ..backend import xp_of
from .matmul import matmul
from .source import fits, launch

ROWS = 4  # rows a block, one warp each


def attention(q, k, v, heads=1, mask=None, scale=None, bias=None):
    """Fast version of `ops.attention`, without bias."""
    if bias is not None or not fits(q, k, v):
        return NotImplemented
    (B, N, D), M = q.shape, k.shape[1]
    xp, scale = xp_of(q, k, v), np.float32(1.0 / math.sqrt(D // heads) if scale is None else scale)

    def split(z):
        parts = z.reshape(B, z.shape[1], heads, -1).transpose(0, 2, 1, 3)  # (B, h, N, d)
        return xp.ascontiguousarray(parts).reshape(B * heads, z.shape[1], -1)  # (B h, N, d)

    def merge(z):
        parts = z.reshape(B, heads, z.shape[1], -1).transpose(0, 2, 1, 3)
        return xp.ascontiguousarray(parts).reshape(B, z.shape[1], -1)  # (B, N, D)

    def softmax(name, *arrays):
        rows = B * heads * N
        launch(xp, name, (-(-rows // ROWS),), (32, ROWS), *arrays, np.int64(rows), np.int32(M), scale)

    qh, kh, vh = split(q), split(k), split(v)
    weights = matmul(qh, kh.transpose(0, 2, 1))  # (B h, N, M): scores, until the next line
    if mask is not None:
        seen = xp.broadcast_to(xp.asarray(mask), (B, heads, N, M)).reshape(weights.shape)
        weights = xp.where(seen, weights, np.float32(-np.inf))
    softmax("softmax_forward", weights)

    def back(dy):  # saved: q, k, v, weights. A masked score has weight 0, so nothing flows through it
        dyh = split(dy)
        dscores = matmul(dyh, vh.transpose(0, 2, 1))  # dweights, until the next line
        softmax("softmax_backward", weights, dscores)
        dq, dk = matmul(dscores, kh), matmul(dscores.transpose(0, 2, 1), qh)
        return merge(dq), merge(dk), merge(matmul(weights.transpose(0, 2, 1), dyh))

    return merge(matmul(weights, vh)), back
