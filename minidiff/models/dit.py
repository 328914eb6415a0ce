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
    sample_size          H and W that the model is meant for: the positions of another size are stretched to this one. [H, W]
                         for images that are not square, whose positions are one apart in every size
    patch_size           pixels along the side of a patch: (H / patch_size) (W / patch_size) tokens
    out_channels         None: in_channels; 2 in_channels for a model that learns the variance too
    num_embeds_ada_norm  how many classes, 0 for an unconditional model; one more row, the last, is the null class of
                         classifier-free guidance
    activation_fn        of the feed-forward layers
    attention_bias       whether queries, keys and values have a bias
    norm_eps             of the norm before the feed-forward layers; the other norms have 1e-6

    `PixArt` takes a text in place of the class, by cross-attention.
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
        features = features_of("DiT", num_attention_heads, attention_head_dim, num_layers)
        rng, self.null_class = as_rng(rng), num_embeds_ada_norm
        options = dict(heads=num_attention_heads, dropout=dropout, act=activation_fn, bias=attention_bias, eps=norm_eps)
        self.time_proj = Sinusoids(256, flip_sin_to_cos=True, freq_shift=1)
        side = sample_size // patch_size if isinstance(sample_size, int) else None  # of an image that is not square
        self.pos_embed = PatchEmbed(in_channels, features, patch_size, rng, side)
        self.transformer_blocks = [DiTBlock(features, num_embeds_ada_norm, rng=rng, **options) for _ in range(num_layers)]
        self.proj_out_1 = zeroed(Linear(features, 2 * features, rng=rng))
        self.proj_out_2 = zeroed(Linear(features, patch_size**2 * (out_channels or in_channels), rng=rng))

    def forward(self, x, t, cond=None):
        check_image("DiT", x, self.config["in_channels"], self.config["patch_size"])
        (B, H, W, _), size = x.shape, self.config["patch_size"]
        time, _ = self.time_proj(batch_of_times(t, x), x.dtype)  # (B, 256)
        h, back_patches = self.pos_embed(x)  # (B, N, D)
        backs, first, back_first = [], None, None
        for block in self.transformer_blocks:
            c, back_c = block.norm1.emb(time, cond)  # (B, D)
            if first is None:
                first, back_first = c, back_c
            h, back_block = block(h, c)
            backs.append((back_c, back_block))
        shift_scale, back_out_1 = chain([ops.silu, self.proj_out_1], first)
        h, back_norm = ops.modulate(h, *parts_of(shift_scale, 2))
        h, back_out_2 = self.proj_out_2(h)
        y, back_whole = ops.depth_to_space(h.reshape(B, H // size, W // size, -1), size)

        def back(dy):
            dh = back_out_2(back_whole(dy).reshape(B, -1, h.shape[2]))
            dh, dshift, dscale = back_norm(dh)
            back_first(back_out_1(joined(dshift, dscale)))  # the first block's vector steers the output too
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
        parts = parts_of(six, 6)
        h, back_attention = steered(self.attn1, x, *parts[:3])
        y, back_ff = steered(self.ff, h, *parts[3:], self.eps)

        def back(dy):
            dh, *dparts_ff = back_ff(dy)
            dx, *dparts = back_attention(dh)
            return dx, back_six(joined(*dparts, *dparts_ff))

        return y, back


class AdaLayerNormZero(Layer):
    """What steers a block: shift, scale and gate for its attention, then the same for its feed-forward layer.

    c (B, D)   ->   (B, 6 D).   `emb` makes c from time and class; in diffusers it belongs to the block, so it does here.
    """

    def __init__(self, features, classes, rng=None):
        rng = as_rng(rng)
        self.emb = TimeAndClass(features, classes, rng)
        self.linear = zeroed(Linear(features, 6 * features, rng=rng))

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
    """A linear map of each patch, plus sinusoids of its column and row.   x (B, H, W, channels)   ->   (B, N, features)

    side   how far the sinusoids run along a side of any image; None: as far as it has patches
    """

    def __init__(self, channels, features, size, rng=None, side=None):
        self.proj = Conv2d(channels, features, size, stride=size, rng=rng)
        self.side = side

    def forward(self, x):
        h, back_proj = self.proj(x)
        B, rows, columns, D = h.shape
        spacing = (1, 1) if self.side is None else (self.side / rows, self.side / columns)
        where = _positions(rows, columns, D, spacing).beside(x, x.real.dtype)

        def back(dy):
            return back_proj(dy.reshape(h.shape))

        return h.reshape(B, rows * columns, D) + where, back


@functools.lru_cache(16)
def _positions(rows, columns, features, spacing):
    return Constant(sincos_positions(np, rows, columns, features, spacing=spacing, dtype=np.float64))


def steered(layer, x, shift, scale, gate, eps=1e-6):
    """A branch of a block:   y = x + gate layer(xhat (1 + scale) + shift), xhat normalised as in `ops.modulate`.

    x (B, N, D)   shift, scale, gate (B, D)   ->   y (B, N, D).   back(dy) -> dx, dshift, dscale, dgate
    """
    h, back_norm = ops.modulate(x, shift, scale, eps)
    h, back_layer = layer(h)
    y, back_sum = ops.gated_add(x, h, gate)

    def back(dy):
        dskip, dh, dgate = back_sum(dy)
        dx, dshift, dscale = back_norm(back_layer(dh))
        return dskip + dx, dshift, dscale, dgate

    return y, back


def features_of(who, heads, head_dim, layers):
    """How many features a patch has. Raises ValueError, in the name of `who`, for sizes that make no transformer."""
    if heads * head_dim % 4:
        raise ValueError(f"{who}: num_attention_heads * attention_head_dim is {heads * head_dim}, expected a multiple of 4")
    if layers < 1:
        raise ValueError(f"{who}: num_layers is {layers}, expected at least 1")
    return heads * head_dim


def check_image(who, x, channels, size):
    """Raises ValueError, in the name of `who`, unless x (B, H, W, channels) can be cut into patches."""
    if x.ndim != 4 or x.shape[3] != channels or x.shape[1] % size or x.shape[2] % size:
        wanted = f"(B, H, W, {channels}), H and W multiples of {size}"
        raise ValueError(f"{who}: x has shape {tuple(x.shape)}, expected {wanted}")


def zeroed(linear):
    """A Linear whose weight and bias begin at zero."""
    for param in linear.parameters().values():
        param.value = np.zeros(param.shape, np.float32)
    return linear


def parts_of(z, n):
    """(B, n D) as n arrays (B, D), each contiguous."""
    D = z.shape[1] // n
    return [xp_of(z).ascontiguousarray(z[:, i * D : (i + 1) * D]) for i in range(n)]


def joined(*parts):
    """Arrays (B, D) as one (B, n D), the inverse of `parts_of`."""
    return xp_of(parts[0]).concatenate(parts, axis=1)
