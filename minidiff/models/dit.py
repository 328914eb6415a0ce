"""The diffusion transformer: an image cut into patches, a transformer over the patches, steered by time and class.

Peebles and Xie 2023 (arXiv:2212.09748). Structure, option names and parameter names are those of Hugging Face diffusers'
DiTTransformer2DModel, so that its checkpoints fit; arrays are channels last here.
"""

import functools

import numpy as np

from .. import ops
from ..backend import Constant, xp_of
from ..nn import Attention, Conv2d, FeedForward, Layer, Linear, chain
from ..rng import as_rng
from .conditioning import ClassEmbedding, TimestepEmbedding, batch_of_times
from .positions import sincos_positions
from .time_features import Sinusoids


class DiT(Layer):
    """Images, a time and a class in; an image of the same height and width out.

    x (B, H, W, in_channels)   t scalar or (B,)   cond integers (B,), 0 to num_embeds_ada_norm   ->   y (B, H, W, out_channels)
    back(dy) -> dx.   H and W are multiples of patch_size. cond None is the null class for every image.

    num_attention_heads, attention_head_dim   their product D is the number of features of a patch, a multiple of 4
    num_layers           blocks
    sample_size          H and W that the model is meant for; written down, not enforced
    patch_size           pixels along the side of a patch: (H / patch_size) (W / patch_size) tokens
    out_channels         None: in_channels; 2 in_channels for a model that learns the variance too
    num_embeds_ada_norm  how many classes, 0 for an unconditional model; one more row, the last, is the null class of
                         classifier-free guidance
    activation_fn        of the feed-forward layers
    attention_bias       whether queries, keys and values have a bias
    norm_eps             of the norm before the feed-forward layers; the other norms have 1e-6

    A new model answers 0 for every input: gates, shifts, scales and the last layer begin at zero (the paper's adaLN-Zero).
    Raises ValueError that names an option that does not fit.
    """

    def __init__(self, num_attention_heads=16, attention_head_dim=72, in_channels=4, out_channels=None, num_layers=28,
                 dropout=0.0, attention_bias=True, sample_size=32, patch_size=2, activation_fn="gelu-approximate",
                 num_embeds_ada_norm=1000, norm_eps=1e-5, rng=None):  # fmt: skip
        self.config = dict(num_attention_heads=num_attention_heads, attention_head_dim=attention_head_dim,
                           in_channels=in_channels, out_channels=out_channels, num_layers=num_layers, dropout=dropout,
                           attention_bias=attention_bias, sample_size=sample_size, patch_size=patch_size,
                           activation_fn=activation_fn, num_embeds_ada_norm=num_embeds_ada_norm, norm_eps=norm_eps)  # fmt: skip
        features = num_attention_heads * attention_head_dim
        if features % 4:
            raise ValueError(f"DiT: num_attention_heads * attention_head_dim is {features}, expected a multiple of 4")
        if num_layers < 1:
            raise ValueError(f"DiT: num_layers is {num_layers}, expected at least 1")
        rng, self.null_class = as_rng(rng), num_embeds_ada_norm
        options = dict(heads=num_attention_heads, dropout=dropout, act=activation_fn, bias=attention_bias, eps=norm_eps)
        self.time_proj = Sinusoids(256, flip_sin_to_cos=True, freq_shift=1)
        self.pos_embed = PatchEmbed(in_channels, features, patch_size, rng)
        self.transformer_blocks = [DiTBlock(features, num_embeds_ada_norm, rng=rng, **options) for _ in range(num_layers)]
        self.proj_out_1 = _zero(Linear(features, 2 * features, rng=rng))
        self.proj_out_2 = _zero(Linear(features, patch_size**2 * (out_channels or in_channels), rng=rng))

    def forward(self, x, t, cond=None):
        channels, size = self.config["in_channels"], self.config["patch_size"]
        if x.ndim != 4 or x.shape[3] != channels or x.shape[1] % size or x.shape[2] % size:
            wanted = f"(B, H, W, {channels}), H and W multiples of {size}"
            raise ValueError(f"DiT: x has shape {tuple(x.shape)}, expected {wanted}")
        (B, H, W, _), time = x.shape, self.time_proj(batch_of_times(t, x), x.dtype)[0]
        h, back_patches = self.pos_embed(x)  # (B, N, D)
        backs, first, back_first = [], None, None
        for block in self.transformer_blocks:
            c, back_c = block.norm1.emb(time, cond)  # (B, D)
            if first is None:
                first, back_first = c, back_c
            h, back_block = block(h, c)
            backs.append((back_c, back_block))
        shift_scale, back_out_1 = chain([ops.silu, self.proj_out_1], first)
        h, back_norm = ops.modulate(h, *_parts(shift_scale, 2))
        h, back_out_2 = self.proj_out_2(h)
        y, back_whole = ops.depth_to_space(h.reshape(B, H // size, W // size, -1), size)

        def back(dy):
            dh = back_out_2(back_whole(dy).reshape(B, -1, h.shape[2]))
            dh, dshift, dscale = back_norm(dh)
            back_first(back_out_1(_together(dshift, dscale)))  # the first block's vector steers the output too
            for back_c, back_block in reversed(backs):
                dh, dc = back_block(dh)
                back_c(dc)
            return back_patches(dh)

        return y, back

    def null_cond(self, cond):
        """The class "none" for each of `cond`."""
        return None if cond is None else cond * 0 + self.null_class


class DiTBlock(Layer):
    """Attention, then a feed-forward layer: each after a norm with its own scale and shift, before a gate and a sum.

    x (B, N, D)   c (B, D), time and class of each image   ->   y (B, N, D).   back(dy) -> dx, dc
    """

    def __init__(self, features, classes, heads, dropout=0.0, act="gelu-approximate", bias=True, eps=1e-5, rng=None):
        rng = as_rng(rng)
        self.norm1 = AdaLayerNormZero(features, classes, rng)
        self.attn1 = Attention(features, heads, bias=bias, dropout=dropout, rng=rng)
        self.ff = FeedForward(features, act=act, dropout=dropout, rng=rng)
        self.eps = eps

    def forward(self, x, c):
        six, back_six = self.norm1(c)
        shift, scale, gate, shift_ff, scale_ff, gate_ff = _parts(six, 6)
        h, back_norm = ops.modulate(x, shift, scale)
        h, back_attention = self.attn1(h)
        x, back_sum = ops.gated_add(x, h, gate)
        h, back_norm_ff = ops.modulate(x, shift_ff, scale_ff, self.eps)
        h, back_ff = self.ff(h)
        y, back_sum_ff = ops.gated_add(x, h, gate_ff)

        def back(dy):
            dskip, dh, dgate_ff = back_sum_ff(dy)
            dx, dshift_ff, dscale_ff = back_norm_ff(back_ff(dh))
            dskip, dh, dgate = back_sum(dskip + dx)
            dx, dshift, dscale = back_norm(back_attention(dh))
            dc = back_six(_together(dshift, dscale, dgate, dshift_ff, dscale_ff, dgate_ff))
            return dskip + dx, dc

        return y, back


class AdaLayerNormZero(Layer):
    """What steers a block: shift, scale and gate for its attention, then the same for its feed-forward layer.

    c (B, D)   ->   (B, 6 D).   `emb` makes c from time and class; in diffusers it belongs to the block, so it does here.
    """

    def __init__(self, features, classes, rng=None):
        rng = as_rng(rng)
        self.emb = TimeAndClass(features, classes, rng)
        self.linear = _zero(Linear(features, 6 * features, rng=rng))

    def forward(self, c):
        return chain([ops.silu, self.linear], c)


class TimeAndClass(Layer):
    """The sum of two vectors, one for the time and one for the class.

    time (B, 256), sinusoids   cond integers (B,) in [0, classes]; the last, and None, is the null class   ->   (B, features)
    back(dy) -> None
    """

    def __init__(self, features, classes, rng=None):
        rng, self.null_class = as_rng(rng), classes
        self.timestep_embedder = TimestepEmbedding(256, features, rng)
        self.class_embedder = {"embedding_table": ClassEmbedding(classes + 1, features, rng)}

    def forward(self, time, cond):
        if cond is None:
            cond = xp_of(time).full(time.shape[:1], self.null_class)
        vector, back_time = self.timestep_embedder(time)
        label, back_label = self.class_embedder["embedding_table"](cond, time.shape[0])

        def back(dy):
            back_time(dy)
            back_label(dy)

        return vector + label, back


class PatchEmbed(Layer):
    """A linear map of each patch, plus sinusoids of its column and row.   x (B, H, W, channels)   ->   (B, N, features)"""

    def __init__(self, channels, features, size, rng=None):
        self.proj = Conv2d(channels, features, size, stride=size, rng=rng)

    def forward(self, x):
        h, back_proj = self.proj(x)
        B, rows, columns, D = h.shape
        where = _positions(rows, columns, D).beside(x, x.real.dtype)

        def back(dy):
            return back_proj(dy.reshape(h.shape))

        return h.reshape(B, rows * columns, D) + where, back


@functools.lru_cache(16)
def _positions(rows, columns, features):
    return Constant(sincos_positions(np, rows, columns, features, dtype=np.float64))


def _zero(linear):
    for param in linear.parameters().values():
        param.value = np.zeros(param.shape, np.float32)
    return linear


def _parts(z, n):
    """(B, n D) as n arrays (B, D), each contiguous."""
    D = z.shape[1] // n
    return [xp_of(z).ascontiguousarray(z[:, i * D : (i + 1) * D]) for i in range(n)]


def _together(*parts):
    return xp_of(parts[0]).concatenate(parts, axis=1)
