"""Attention with its four projections, named as in diffusers' `Attention`: to_q, to_k, to_v, to_out.0."""

from .. import ops
from ..rng import as_rng
from .layer import Layer
from .layers import Dropout, GroupNorm, Linear


class Attention(Layer):
    """Queries from x, keys and values from `context`, or from x itself.

    x (B, N, D)   context (B, M, E) or None   mask as in `ops.attention`   ->   y (B, N, D)
    back(dy) -> dx, or (dx, dcontext) when a context was given
    """

    max_scores = 1 << 28  # above this many numbers (1 GiB in float32) the scores are computed a slice of queries at a time

    def __init__(self, features, heads=1, head_dim=None, context_features=None, bias=False, out_bias=True, dropout=0.0,
                 rng=None):  # fmt: skip
        rng = as_rng(rng)
        inner = heads * (head_dim or features // heads)
        if head_dim is None and features % heads:
            raise ValueError(f"Attention: heads is {heads}, expected a divisor of the {features} features")
        self.heads = heads
        self.to_q = Linear(features, inner, bias, rng)
        self.to_k = Linear(context_features or features, inner, bias, rng)
        self.to_v = Linear(context_features or features, inner, bias, rng)
        self.to_out = [Linear(inner, features, out_bias, rng), Dropout(dropout)]

    def forward(self, x, context=None, mask=None):
        source = x if context is None else context
        q, back_q = self.to_q(x)
        k, back_k = self.to_k(source)
        v, back_v = self.to_v(source)
        h, back_attention = self.attend(q, k, v, mask)
        h, back_out = self.to_out[0](h)
        y, back_drop = self.to_out[1](h)

        def back(dy):
            dq, dk, dv = back_attention(back_out(back_drop(dy)))
            dx, dsource = back_q(dq), back_k(dk) + back_v(dv)
            return dx + dsource if context is None else (dx, dsource)  # x was used three times

        return y, back

    def attend(self, q, k, v, mask=None):
        """`ops.attention` with this layer's heads, in slices where the scores would be too large.   -> y, back"""
        per_query = q.shape[0] * self.heads * k.shape[1]
        if per_query * q.shape[1] <= self.max_scores:
            return ops.attention(q, k, v, self.heads, mask)
        return ops.sliced_attention(q, k, v, self.heads, mask, rows=max(1, self.max_scores // per_query))


class SpatialAttention(Attention):
    """Self-attention over the pixels of an image, with a residual connection:   y = (x + attention(norm(x))) / rescale.

    x (B, H, W, C)   ->   y (B, H, W, C).   The attention block of DDPM's U-Net. groups None: without the norm.
    """

    def __init__(self, channels, heads=1, groups=32, eps=1e-5, rescale=1.0, rng=None):
        super().__init__(channels, heads, bias=True, rng=rng)
        self.group_norm = GroupNorm(groups, channels, eps) if groups else None
        self.rescale = rescale

    def forward(self, x):
        B, H, W, C = x.shape
        h, back_norm = x.reshape(B, H * W, C), lambda dh: dh  # (B, HW, C)
        if self.group_norm is not None:
            h, back_norm = self.group_norm(h)
        h, back_attention = super().forward(h)
        y = (x + h.reshape(x.shape)) * (1.0 / self.rescale)

        def back(dy):
            dsum = dy * (1.0 / self.rescale)
            return dsum + back_norm(back_attention(dsum.reshape(B, H * W, C))).reshape(x.shape)  # x was used twice

        return y, back
