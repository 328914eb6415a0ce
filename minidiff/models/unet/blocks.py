"""The stages of the U-Net, with the structure and the parameter names of diffusers' UNet2DModel.

Each forward takes x (B, H, W, C) and the inputs that all blocks of the stage share. These are the time embedding temb (B, D),
and in text-to-image models the context (B, M, E) with its mask. `back` returns dx and a gradient for each of them.
"""

from ... import ops
from ...nn import Layer, SpatialAttention, Transformer2DModel
from ..resnet import Downsample2D, ResnetBlock2D, Upsample2D

__all__ = ["DownBlock2D", "Downsample2D", "MidBlock2D", "ResnetBlock2D", "UpBlock2D", "Upsample2D"]


class _Stage(Layer):
    """Residual blocks at one resolution, each optionally followed by attention. Base class of the down and up stages."""

    def build(self, channels_in, channels, temb_channels, heads, rng, attend=None, **options):
        """channels_in: what each residual block gets. heads: None where there is no attention.

        attend: builds the attention of block i, attend(i); None for spatial attention.
        """
        self.resnets, self.attentions = [], [] if heads or attend else None
        for i, c in enumerate(channels_in):
            self.resnets.append(ResnetBlock2D(c, channels, temb_channels, rng=rng, **options))
            if attend:
                self.attentions.append(attend(i))
            elif heads:
                self.attentions.append(spatial(channels, heads, rng, options))

    def run(self, i, x, temb, *context, **mask):
        """Residual block i and its attention.   -> y, back; back(dy) -> (dx, dtemb, and dcontext if there is one)"""
        h, back_resnet = self.resnets[i](x, temb)
        y, back_attention = attend_to(self.attentions and self.attentions[i], h, context, mask)

        def back(dy):
            dh, *dcontext = back_attention(dy)
            return *back_resnet(dh), *dcontext

        return y, back


class DownBlock2D(_Stage):
    """Blocks, then half the size.   x, beside   ->   (y, skips): the intermediate images for the skip connections.

    back(dy, dskips) -> (dx, *dbeside).   downsample: True ("conv"), "resnet" for a residual block that halves, or False
    """

    def __init__(self, in_channels, channels, temb_channels, layers, heads=None, downsample=True, padding=1, rng=None,
                 **options):  # fmt: skip
        self.build([in_channels] + [channels] * (layers - 1), channels, temb_channels, heads, rng, **options)
        self.keeps = layers + bool(downsample)  # for the skip connections
        self.downsamplers, self.resizes_with_time = None, downsample == "resnet"
        if self.resizes_with_time:
            options.pop("attend", None)
            self.downsamplers = [ResnetBlock2D(channels, channels, temb_channels, resample="down", rng=rng, **options)]
        elif downsample:
            self.downsamplers = [Downsample2D(channels, padding, rng)]

    def forward(self, x, *beside, **mask):
        skips, backs, back_down = [], [], None
        for i in range(len(self.resnets)):
            x, back_i = self.run(i, x, *beside, **mask)
            skips.append(x)
            backs.append(back_i)
        if self.downsamplers:
            x, back_down = self.downsamplers[0](x, *(beside[:1] if self.resizes_with_time else ()))
            skips.append(x)

        def back(dy, dskips):
            dskips, dbeside = list(dskips), [0] * len(beside)
            if back_down:
                dy = back_down(dy + dskips.pop())
                if self.resizes_with_time:
                    dy, dbeside[0] = dy
            for back_i in reversed(backs):
                dy, *dbeside_i = back_i(dy + dskips.pop())  # each image was used twice: two terms
                dbeside = added(dbeside, dbeside_i)
            return dy, *dbeside

        return (x, skips), back


class UpBlock2D(_Stage):
    """Blocks that each concatenate one skip to x, then twice the size, or the next skip's size where that is odd.

    x (B, H, W, C)   skips: list, of which the last `takes` are used, the last first   ->   y
    back(dy) -> (dx, dskips of these, *dbeside).   upsample: True ("conv"), "resnet" for a residual block that doubles, or False
    """

    def __init__(self, in_channels, channels, skip_channels, temb_channels, heads=None, upsample=True, rng=None, **options):
        incoming = [in_channels] + [channels] * (len(skip_channels) - 1)
        both = [c + s for c, s in zip(incoming, skip_channels, strict=True)]
        self.build(both, channels, temb_channels, heads, rng, **options)
        self.takes = len(skip_channels)
        self.upsamplers, self.resizes_with_time = None, upsample == "resnet"
        if self.resizes_with_time:
            options.pop("attend", None)
            self.upsamplers = [ResnetBlock2D(channels, channels, temb_channels, resample="up", rng=rng, **options)]
        elif upsample:
            self.upsamplers = [Upsample2D(channels, rng)]

    def forward(self, x, skips, *beside, **mask):
        backs, back_up = [], None
        for i in range(self.takes):
            x, back_cat = ops.concat([x, skips[-1 - i]])
            x, back_i = self.run(i, x, *beside, **mask)
            backs.append((back_cat, back_i))
        if self.upsamplers:
            size = skips[-1 - self.takes].shape[1:3] if len(skips) > self.takes else None
            x, back_up = self.upsamplers[0](x, beside[0] if self.resizes_with_time else size)

        def back(dy):
            dskips, dbeside = [], [0] * len(beside)
            if back_up:
                dy = back_up(dy)
                if self.resizes_with_time:
                    dy, dbeside[0] = dy
            for back_cat, back_i in reversed(backs):
                dcat, *dbeside_i = back_i(dy)
                dy, dskip = back_cat(dcat)
                dskips.append(dskip)
                dbeside = added(dbeside, dbeside_i)
            return dy, dskips, *dbeside  # dskips in the order of `skips`

        return x, back


class MidBlock2D(Layer):
    """Block, attention, block at the lowest resolution.   x, beside -> y.   back(dy) -> (dx, *dbeside)

    attention_groups: groups of the attention's norm; "same" as the blocks', None for no norm.
    """

    def __init__(self, channels, temb_channels, heads=None, rng=None, attention_groups="same", attend=None, **options):
        self.resnets = [ResnetBlock2D(channels, channels, temb_channels, rng=rng, **options)]
        self.attentions = [attend(0)] if attend else []
        if heads and not attend:
            self.attentions = [spatial(channels, heads, rng, options, attention_groups)]
        self.resnets.append(ResnetBlock2D(channels, channels, temb_channels, rng=rng, **options))

    def forward(self, x, *beside, **mask):
        time, context = beside[:1], beside[1:]
        h, back_1 = self.resnets[0](x, *time)
        h, back_attention = attend_to(self.attentions and self.attentions[0], h, context, mask)
        y, back_2 = self.resnets[1](h, *time)

        def back(dy):
            if not beside:  # an autoencoder's: no time
                return back_1(*back_attention(back_2(dy)))
            dh, dtemb_2 = back_2(dy)
            dh, *dcontext = back_attention(dh)
            dx, dtemb_1 = back_1(dh)
            return dx, dtemb_1 + dtemb_2, *dcontext

        return y, back


class OneResnet(_Stage):
    """The middle of models without attention there: one residual block.   x, beside -> y.   back(dy) -> (dx, *dbeside)"""

    def __init__(self, channels, temb_channels, rng=None, **options):
        self.build([channels], channels, temb_channels, None, rng, **options)

    def forward(self, x, *beside, **mask):
        return self.run(0, x, *beside, **mask)


class NoMiddle(Layer):
    """The identity, for U-Nets without a middle block."""

    def forward(self, x, *beside, **mask):
        return x, lambda dy: (dy, *[0 for _ in beside])


def attend_to(attention, x, context, mask):
    """One attention of a stage, or None.   x   ->   y, back(dy) -> (dx, *dcontext): 0 where it does not use the context"""
    if isinstance(attention, Transformer2DModel):
        return attention(x, *context, **mask)
    y, back_attention = attention(x) if attention else (x, lambda dy: dy)

    def back(dy):
        return back_attention(dy), *[0 for _ in context]

    return y, back


def spatial(channels, heads, rng, options, groups="same"):
    """The attention between the pixels of one image that goes with a residual block of these options."""
    groups = options.get("groups", 32) if groups == "same" else groups
    return SpatialAttention(channels, heads, groups, options.get("eps", 1e-5), options.get("rescale", 1.0), rng=rng)


def added(totals, terms):
    """Elementwise sums of tuples: an input of several blocks gets the sum of their gradients."""
    return [total + term for total, term in zip(totals, terms, strict=True)]
