"""The diffusion transformer for texts: cross-attention to the tokens, and one vector of the timestep for all blocks.

PixArt-alpha, Chen et al. 2023 (arXiv:2310.00426). It differs from `DiT` in two points. Each block attends to the text after its
self-attention. All blocks take shift, scale and gate from one map of the timestep (adaLN-single), and each block adds a learned
table; in DiT each block has such a map. Structure, option names and parameter names are those of Hugging Face diffusers'
PixArtTransformer2DModel, so that its checkpoints fit; arrays are channels last here.
"""

import math

import numpy as np

from .. import ops
from ..backend import xp_of
from ..nn import Attention, FeedForward, Layer, Linear, Param, chain
from ..rng import as_rng
from .conditioning import TimestepEmbedding, batch_of_times
from .dit import PatchEmbed, check_image, features_of, joined, parts_of, steered, zeroed
from .text_condition import TextCondition, TextModel
from .time_features import Sinusoids


class PixArt(TextModel):
    """Predicts an image of x's height and width from a noisy image, t and a text.

    x (B, H, W, in_channels)   t scalar or (B,)   cond: context (B, M, E), or a TextCondition or tuple   ->   y (B, H, W, O)
    back(dy) -> (dx, dcontext).   H and W are multiples of patch_size. The null condition is `null_context`, see `TextModel`.

    num_attention_heads, attention_head_dim   their product D is the number of features of a patch, a multiple of 4
    num_layers           blocks
    sample_size          H and W that the model is meant for. Patches of other sizes are placed on the same square
    patch_size           pixels along the side of a patch: (H / patch_size) (W / patch_size) tokens
    out_channels         O. None: in_channels; 2 in_channels for a model that learns the variance too
    cross_attention_dim  features of the text that the blocks attend to: E, or D with caption_channels
    caption_channels     E, if a two-layer MLP first maps the text to D features; None: the text is taken as it is
    interpolation_scale  a larger one places the patches closer together. None: sample_size / 64, rounded down, at least 1
    activation_fn        of the feed-forward layers
    attention_bias       whether queries, keys and values have a bias
    norm_eps             of the norms in the blocks; the one before the last layer has 1e-6
    use_additional_conditions   False; the model for 1024 x 1024 images, which also takes the image's size, is not supported

    A new model outputs 0 for every input: the last layer begins at zero, as does what each block adds from the text. Raises
    ValueError that names an option that does not fit.
    """

    def __init__(self, num_attention_heads=16, attention_head_dim=72, in_channels=4, out_channels=8, num_layers=28,
                 dropout=0.0, cross_attention_dim=1152, attention_bias=True, sample_size=64, patch_size=2,
                 activation_fn="gelu-approximate", norm_eps=1e-6, interpolation_scale=None, use_additional_conditions=False,
                 caption_channels=None, rng=None):  # fmt: skip
        self.config = dict(num_attention_heads=num_attention_heads, attention_head_dim=attention_head_dim,
                           in_channels=in_channels, out_channels=out_channels, num_layers=num_layers, dropout=dropout,
                           cross_attention_dim=cross_attention_dim, attention_bias=attention_bias, sample_size=sample_size,
                           patch_size=patch_size, activation_fn=activation_fn, norm_eps=norm_eps,
                           interpolation_scale=interpolation_scale, use_additional_conditions=use_additional_conditions,
                           caption_channels=caption_channels)  # fmt: skip
        features, rng = features_of("PixArt", num_attention_heads, attention_head_dim, num_layers), as_rng(rng)
        _check(self.config, features)
        side = sample_size // patch_size / (interpolation_scale or max(sample_size // 64, 1))
        options = dict(heads=num_attention_heads, dropout=dropout, act=activation_fn, bias=attention_bias, eps=norm_eps)
        self.pos_embed = PatchEmbed(in_channels, features, patch_size, rng, side)
        self.adaln_single = AdaLayerNormSingle(features, rng)
        self.caption_projection = None
        if caption_channels is not None:
            self.caption_projection = TimestepEmbedding(caption_channels, features, rng, "gelu-approximate")
        self.transformer_blocks = [PixArtBlock(features, cross_attention_dim, rng=rng, **options) for _ in range(num_layers)]
        self.scale_shift_table = _table(2, features, rng)
        self.proj_out = zeroed(Linear(features, patch_size**2 * (out_channels or in_channels), rng=rng))

    def forward(self, x, t, cond):
        context, mask, labels = TextCondition.of(cond)
        check_image("PixArt", x, self.config["in_channels"], self.config["patch_size"])
        self.check_text(x, context, mask, labels)
        t, (B, H, W, _), size = batch_of_times(t, x), x.shape, self.config["patch_size"]
        mask = None if mask is None else xp_of(x).asarray(mask)[:, None, None, :]  # (B, 1, 1, M): for every head and patch
        h, back_patches = self.pos_embed(x)  # (B, N, D)
        (time, six), back_time = self.adaln_single(t, x.dtype)  # (B, D), (B, 6 D)
        context, back_caption = chain([self.caption_projection], context)
        backs, table = [], self.scale_shift_table
        for block in self.transformer_blocks:
            h, back_block = block(h, six, context, mask)
            backs.append(back_block)
        h, back_norm = ops.modulate(h, table.value[0] + time, table.value[1] + time)
        h, back_out = self.proj_out(h)
        y, back_whole = ops.depth_to_space(h.reshape(B, H // size, W // size, -1), size)

        def back(dy):
            dh, dshift, dscale = back_norm(back_out(back_whole(dy).reshape(B, -1, h.shape[2])))
            table.grad += xp_of(dy).stack([dshift.sum(axis=0), dscale.sum(axis=0)])
            dsix, dcontext = 0, 0
            for back_block in reversed(backs):
                dh, dsix_i, dcontext_i = back_block(dh)
                dsix, dcontext = dsix + dsix_i, dcontext + dcontext_i  # one time and one text for all blocks
            back_time(dshift + dscale, dsix)
            return back_patches(dh), back_caption(dcontext)

        return y, back

    def check_text(self, x, context, mask, labels):
        """Raises ValueError that names what does not fit, before anything is computed."""
        wide = self.config["caption_channels"] or self.config["cross_attention_dim"]
        shape = getattr(context, "shape", ())
        if len(shape) != 3 or shape[0] != x.shape[0] or shape[2] != wide:
            got = None if context is None else tuple(shape)
            raise ValueError(f"PixArt: the context has shape {got}, expected ({x.shape[0]}, tokens, {wide})")
        if mask is not None and tuple(mask.shape) != tuple(shape[:2]):
            raise ValueError(f"PixArt: the mask has shape {tuple(mask.shape)}, expected {tuple(shape[:2])}, as the context")
        if labels is not None:
            raise ValueError("PixArt: this model takes no labels (TextCondition.labels)")


class PixArtBlock(Layer):
    """Self-attention, cross-attention without norm and gate, then a feed-forward layer.

    x (B, N, D)   six (B, 6 D), of the timestep   context (B, M, E)   mask for the scores, or None   ->   y (B, N, D)
    back(dy) -> dx, dsix, dcontext
    """

    def __init__(self, features, context_features, heads, dropout=0.0, act="gelu-approximate", bias=True, eps=1e-6, rng=None):
        rng, shared = as_rng(rng), dict(bias=bias, dropout=dropout)
        self.scale_shift_table = _table(6, features, rng)
        self.attn1 = Attention(features, heads, rng=rng, **shared)
        self.attn2 = Attention(features, heads, context_features=context_features, rng=rng, **shared)
        zeroed(self.attn2.to_out[0])  # the paper, section 2.3: the block begins as one without text
        self.ff = FeedForward(features, act=act, dropout=dropout, rng=rng)
        self.eps = eps

    def forward(self, x, six, context, mask=None):
        table = self.scale_shift_table
        parts = parts_of(six + table.value.reshape(1, -1), 6)
        x, back_attention = steered(self.attn1, x, *parts[:3], self.eps)
        h, back_text = self.attn2(x, context, mask)
        y, back_ff = steered(self.ff, x + h, *parts[3:], self.eps)

        def back(dy):
            dskip, *dparts_ff = back_ff(dy)
            dx, dcontext = back_text(dskip)
            dx, *dparts = back_attention(dskip + dx)
            dsix = joined(*dparts, *dparts_ff)
            table.grad += dsix.sum(axis=0).reshape(table.shape)  # one table for the whole batch
            return dx, dsix, dcontext

        return y, back


class AdaLayerNormSingle(Layer):
    """Returns a vector of the timestep, and from it shift, scale and gate of both branches of a block, for all blocks.

    t (B,)   ->   (B, D), (B, 6 D).   back(dtime, dsix) -> None.   The paper, section 2.3
    """

    def __init__(self, features, rng=None):
        rng = as_rng(rng)
        self.time_proj = Sinusoids(256, flip_sin_to_cos=True, freq_shift=0)
        self.emb = {"timestep_embedder": TimestepEmbedding(256, features, rng)}
        self.linear = zeroed(Linear(features, 6 * features, rng=rng))

    def forward(self, t, dtype):
        time, back_time = self.emb["timestep_embedder"](self.time_proj(t, dtype)[0])
        six, back_six = chain([ops.silu, self.linear], time)

        def back(dtime, dsix):
            back_time(dtime + back_six(dsix))

        return (time, six), back


def _table(n, features, rng):
    return Param(rng.standard_normal((n, features), dtype=np.float32) * np.float32(1 / math.sqrt(features)))


def _check(config, features):
    """Raises ValueError that names the option."""
    given, taken = config["cross_attention_dim"], config["caption_channels"]
    if not given:
        raise ValueError(f"PixArt: cross_attention_dim is {given}, expected the features of the text; without text use DiT")
    if taken is not None and given != features:
        raise ValueError(f"PixArt: cross_attention_dim is {given}, expected {features} with caption_channels: "
                         "num_attention_heads * attention_head_dim")  # fmt: skip
    size, patch = config["sample_size"], config["patch_size"]
    if not isinstance(size, int) or size < patch:
        raise ValueError(f"PixArt: sample_size is {size!r}, expected a whole number, at least patch_size, {patch}")
    extra = config["use_additional_conditions"]
    if extra or (extra is None and size == 128):
        raise ValueError(f"PixArt: use_additional_conditions is {extra} with sample_size {size}, expected False: the "
                         "image's size as a condition is not supported")  # fmt: skip
