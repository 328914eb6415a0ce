"""Scaled dot-product attention: for each query a mean of the values, weighted by how well the query matches their keys."""

import math

from ..backend import xp_of
from ..complex_step import add_to
from . import check
from .dispatch import has_fast_version


def _check(q, k, v, heads=1, mask=None, scale=None, bias=None):
    check.floats("attention", q=q, k=k, v=v, bias=bias)
    check.shape("attention", "q", q, "(B, N, D)", q.ndim == 3)
    (B, N, D), M = q.shape, k.shape[1]
    check.shape("attention", "k", k, "({}, M, {}) to fit q {}", k.ndim == 3 and k.shape[::2] == (B, D), B, D, q.shape)
    check.shape("attention", "v", v, "({}, {}, E) to fit k {}", v.ndim == 3 and v.shape[:2] == (B, M), B, M, k.shape)
    if bias is not None:
        fits = bias.ndim == 4 and all(n in (1, m) for n, m in zip(bias.shape, (B, heads, N, M), strict=True))
        check.shape("attention", "bias", bias, f"{(B, heads, N, M)}, or 1 in any place", fits)
    if mask is not None:
        fits = mask.ndim <= 4 and all(n in (1, m) for n, m in zip(mask.shape[::-1], (M, N, heads, B), strict=False))
        check.shape("attention", "mask", mask, f"one that broadcasts to {(B, heads, N, M)}", fits)
    if not isinstance(heads, int) or heads < 1 or D % heads or v.shape[2] % heads:
        raise ValueError(f"attention: heads is {heads}, expected a divisor of the {D} features of q and {v.shape[2]} of v")


@has_fast_version(_check)
def attention(q, k, v, heads=1, mask=None, scale=None, bias=None):
    """softmax(q k^T / sqrt(d)) v in each head, d = D / heads. Vaswani et al. 2017 (arXiv:1706.03762), equation 1.

    q (B, N, D)   k (B, M, D)   v (B, M, E)   ->   y (B, N, E);   heads divides D and E
    mask   bool, broadcastable to (B, heads, N, M), True where a query may attend; each query needs at least one True
    scale  replaces the factor 1 / sqrt(d), for models trained with another one
    bias   floats (1 or B, 1 or heads, 1 or N, M), added to the scaled scores, and learned: back then gives dbias too
    Fast: cpu.attention, gpu.attention
    """
    (B, _, D), xp = q.shape, xp_of(q, k, v)
    scale = 1.0 / math.sqrt(D // heads) if scale is None else scale

    def split(z):
        return z.reshape(B, z.shape[1], heads, -1).transpose(0, 2, 1, 3)  # (B, h, N, d)

    def merge(z):
        return z.transpose(0, 2, 1, 3).reshape(B, z.shape[2], -1)  # (B, N, D)

    qh, kh, vh = split(q), split(k), split(v)
    scores = (qh @ kh.transpose(0, 1, 3, 2)) * scale  # (B, h, N, M)
    if bias is not None:
        scores = add_to(scores, bias)
    if mask is not None:
        scores = xp.where(mask, scores, -xp.inf).astype(scores.dtype)
    scores -= scores.max(axis=-1, keepdims=True)
    weights = xp.exp(scores)
    weights /= weights.sum(axis=-1, keepdims=True)

    def back(dy):  # saved: q, k, v, weights. A masked score has weight 0, so nothing flows through it
        dyh = split(dy)
        dweights = dyh @ vh.transpose(0, 1, 3, 2)  # (B, h, N, M)
        dvh = weights.transpose(0, 1, 3, 2) @ dyh
        dscores = weights * (dweights - (dweights * weights).sum(axis=-1, keepdims=True))
        dqh, dkh = dscores @ kh * scale, dscores.transpose(0, 1, 3, 2) @ qh * scale
        grads = merge(dqh), merge(dkh), merge(dvh)
        return grads if bias is None else (*grads, sum_to(dscores, bias.shape))

    return merge(weights @ vh), back


def sum_to(dz, shape):
    """Gradient of a value of `shape` that was broadcast to dz's: summed over the axes along which it was used again."""
    axes = tuple(i for i, (n, m) in enumerate(zip(dz.shape, shape, strict=True)) if m == 1 != n)
    return dz.sum(axis=axes, keepdims=True)
