"""Scaled dot-product attention: every query takes a weighted mean of the values, weighted by how its key matches."""

import math

from ..backend import xp_of
from . import check


def attention(q, k, v, heads=1, mask=None):
    """softmax(q k^T / sqrt(d)) v in each head, d = D / heads. Vaswani et al. 2017 (arXiv:1706.03762), equation 1.

    q (B, N, D)   k (B, M, D)   v (B, M, E)   ->   y (B, N, E);   heads divides D and E
    mask   bool, broadcastable to (B, heads, N, M), True where a query may look; a query needs at least one True
    """
    check.floats("attention", q=q, k=k, v=v)
    check.shape("attention", "q", q, "(B, N, D)", q.ndim == 3)
    (B, N, D), M = q.shape, k.shape[1]
    check.shape("attention", "k", k, f"({B}, M, {D}) to fit q {q.shape}", k.ndim == 3 and k.shape[::2] == (B, D))
    check.shape("attention", "v", v, f"({B}, {M}, E) to fit k {k.shape}", v.ndim == 3 and v.shape[:2] == (B, M))
    if not isinstance(heads, int) or heads < 1 or D % heads or v.shape[2] % heads:
        raise ValueError(f"attention: heads is {heads}, expected a divisor of the {D} features of q and {v.shape[2]} of v")
    xp, scale = xp_of(q, k, v), 1.0 / math.sqrt(D // heads)

    def split(z):
        return z.reshape(B, z.shape[1], heads, -1).transpose(0, 2, 1, 3)  # (B, h, N, d)

    def merge(z):
        return z.transpose(0, 2, 1, 3).reshape(B, z.shape[2], -1)  # (B, N, D)

    qh, kh, vh = split(q), split(k), split(v)
    scores = (qh @ kh.transpose(0, 1, 3, 2)) * scale  # (B, h, N, M)
    if mask is not None:
        scores = xp.where(mask, scores, -xp.inf).astype(q.dtype)
    scores -= scores.max(axis=-1, keepdims=True)
    weights = xp.exp(scores)
    weights /= weights.sum(axis=-1, keepdims=True)

    def back(dy):  # saved: q, k, v, weights. A masked score has weight 0, so nothing flows through it
        dyh = split(dy)
        dweights = dyh @ vh.transpose(0, 1, 3, 2)  # (B, h, N, M)
        dvh = weights.transpose(0, 1, 3, 2) @ dyh
        dscores = weights * (dweights - (dweights * weights).sum(axis=-1, keepdims=True)) * scale
        dqh, dkh = dscores @ kh, dscores.transpose(0, 1, 3, 2) @ qh
        return merge(dqh), merge(dkh), merge(dvh)

    return merge(weights @ vh), back
