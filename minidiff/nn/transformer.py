"""The parts of a transformer, with diffusers' parameter names, for U-Nets that attend to a text.

The block is Vaswani et al. 2017 (arXiv:1706.03762) with its norms before each part. Its place in an image model is that of
latent diffusion, Rombach et al. 2022 (arXiv:2112.10752), section 3.3.
"""

import numpy as np

from .. import ops
from ..ops.named import activation
from ..rng import as_rng
from .attention import Attention
from .layer import Layer, Param, chain, owned
from .layers import Conv2d, Dropout, GroupNorm, LayerNorm, Linear


def causal_mask(N, xp=np):
    """Which positions a token may attend to: itself and earlier ones.   -> bool (N, N), True on and below the diagonal"""
    return xp.arange(N)[:, None] >= xp.arange(N)[None, :]


class RMSNorm(Layer):
    """Divide each row of features by its root mean square.   x (..., features)   ->   y, x's shape"""

    def __init__(self, features, eps=1e-6):
        self.weight, self.eps = Param(np.ones(features, np.float32)), eps

    def forward(self, x):
        return owned(*ops.rms_norm(x, self.weight.value, self.eps), self.weight)


class GEGLU(Layer):
    """A linear map to value and gate, then value * gelu(gate).   x (..., i)   ->   y (..., o)"""

    def __init__(self, i, o, bias=True, rng=None):
        self.proj = Linear(i, 2 * o, bias, rng)

    def forward(self, x):
        h, back_proj = self.proj(x)
        y, back_gate = ops.geglu(h)

        def back(dy):
            return back_proj(back_gate(dy))

        return y, back


class Activated(Layer):
    """A linear map, then an activation.   x (..., i)   ->   y (..., o)"""

    def __init__(self, i, o, act="gelu", bias=True, rng=None):
        self.proj, self.act = Linear(i, o, bias, rng), activation(act)

    def forward(self, x):
        h, back_proj = self.proj(x)
        y, back_act = self.act(h)

        def back(dy):
            return back_proj(back_act(dy))

        return y, back


class FeedForward(Layer):
    """A per-token MLP: `mult` times wider, a gate or an activation, then back.   x (..., features)   ->   y, x's shape

    act: "geglu", or the name of an activation
    """

    def __init__(self, features, mult=4, act="geglu", dropout=0.0, rng=None):
        rng, wide = as_rng(rng), features * mult
        first = GEGLU(features, wide, rng=rng) if act == "geglu" else Activated(features, wide, act, rng=rng)
        self.net = [first, Dropout(dropout), Linear(wide, features, rng=rng)]

    def forward(self, x):
        return chain(self.net, x)


class BasicTransformerBlock(Layer):
    """Self-attention, cross-attention to the context, then a per-token MLP; each is x = x + part(norm(x)).

    x (B, N, D)   context (B, M, E), for models built with context_features=E   ->   y (B, N, D)
    mask        for the second attention: bool (B, M) or broadcastable to (B, heads, N, M): which context tokens to attend to
    self_mask   for the first, such as `causal_mask(N)`
    back(dy) -> dx, or (dx, dcontext) when a context was given

    only_cross_attention   the first attention is cross-attention too
    double_self_attention  the second is self-attention too
    """

    def __init__(self, features, heads, head_dim, context_features=None, dropout=0.0, act="geglu", attention_bias=False,
                 only_cross_attention=False, double_self_attention=False, eps=1e-5, rng=None):  # fmt: skip
        rng = as_rng(rng)
        self.crosses = (only_cross_attention, context_features is not None and not double_self_attention)
        shared = dict(bias=attention_bias, dropout=dropout, rng=rng)
        self.norm1 = LayerNorm(features, eps)
        self.attn1 = Attention(features, heads, head_dim, context_features if only_cross_attention else None, **shared)
        self.norm2 = self.attn2 = None
        if context_features is not None or double_self_attention:
            self.norm2 = LayerNorm(features, eps)
            self.attn2 = Attention(features, heads, head_dim, context_features if self.crosses[1] else None, **shared)
        self.norm3 = LayerNorm(features, eps)
        self.ff = FeedForward(features, act=act, dropout=dropout, rng=rng)

    def forward(self, x, context=None, mask=None, self_mask=None):
        if any(self.crosses) and context is None:
            raise ValueError("BasicTransformerBlock: this block looks at a context: pass one, (B, M, E)")
        if mask is not None and mask.ndim == 2:
            mask = mask[:, None, None, :]  # (B, 1, 1, M): the same for every head and query
        backs = []
        for norm, attention, crosses, seen in (
            (self.norm1, self.attn1, self.crosses[0], self_mask),
            (self.norm2, self.attn2, self.crosses[1], mask),
        ):
            if attention is None:
                continue
            h, back_norm = norm(x)
            h, back_attention = attention(h, context if crosses else None, seen)
            x = x + h
            backs.append((back_norm, back_attention, crosses))
        h, back_norm3 = self.norm3(x)
        h, back_ff = self.ff(h)

        def back(dy):
            dx, dcontext = dy + back_norm3(back_ff(dy)), None
            for back_norm, back_attention, crosses in reversed(backs):
                dh = back_attention(dx)
                if crosses:
                    dh, dcontext_i = dh
                    dcontext = dcontext_i if dcontext is None else dcontext + dcontext_i
                dx = dx + back_norm(dh)  # each part has a residual connection
            if context is None:
                return dx
            return dx, context * 0 if dcontext is None else dcontext

        return x + h, back


class Transformer2DModel(Layer):
    """Transformer blocks over the pixels of an image, with a residual: norm, linear in, blocks, linear out, + x.

    x (B, H, W, channels)   context (B, M, context_features) or None   ->   y, x's shape.   back as of the block

    linear_projection: the maps in and out are Linear, as in Stable Diffusion 2, and not 1x1 convolutions. The numbers are the
    same, their layout in a file is not.
    """

    def __init__(self, channels, heads, head_dim, layers=1, context_features=None, groups=32, linear_projection=False,
                 dropout=0.0, act="geglu", attention_bias=False, only_cross_attention=False, double_self_attention=False,
                 rng=None):  # fmt: skip
        rng, inner = as_rng(rng), heads * head_dim
        self.norm = GroupNorm(groups, channels, eps=1e-6)
        self.proj_in = Linear(channels, inner, rng=rng) if linear_projection else Conv2d(channels, inner, 1, rng=rng)
        self.transformer_blocks = [
            BasicTransformerBlock(inner, heads, head_dim, context_features, dropout, act, attention_bias,
                                  only_cross_attention, double_self_attention, rng=rng)
            for _ in range(layers)
        ]  # fmt: skip
        self.proj_out = Linear(inner, channels, rng=rng) if linear_projection else Conv2d(inner, channels, 1, rng=rng)

    def forward(self, x, context=None, mask=None):
        B, H, W, _ = x.shape
        h, back_norm = self.norm(x)
        h, back_in = self.proj_in(h)
        h, backs = h.reshape(B, H * W, -1), []  # (B, HW, D)
        for block in self.transformer_blocks:
            h, back_block = block(h, context, mask)
            backs.append(back_block)
        h, back_out = self.proj_out(h.reshape(B, H, W, -1))

        def back(dy):
            dh, dcontext = back_out(dy).reshape(B, H * W, -1), 0
            for back_block in reversed(backs):
                dh = back_block(dh)
                if context is not None:
                    dh, dcontext_i = dh
                    dcontext = dcontext + dcontext_i  # every block attended to it
            dx = dy + back_norm(back_in(dh.reshape(B, H, W, -1)))
            return dx if context is None else (dx, dcontext)

        return x + h, back
