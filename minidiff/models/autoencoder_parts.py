"""Encoder and decoder of latent diffusion's autoencoders: the U-Net's blocks without time embeddings and skip connections.

Rombach et al. 2022 (arXiv:2112.10752), appendix G. Parameter names are those of diffusers' Encoder and Decoder.
"""

from functools import partial

from ..names import check_choice
from ..nn import Conv2d, GroupNorm, Layer, chain
from .resnet import Downsample2D, ResnetBlock2D, Upsample2D
from .unet.blocks import MidBlock2D, spatial

EPS = 1e-6
DOWN, UP = ("DownEncoderBlock2D", "AttnDownEncoderBlock2D"), ("UpDecoderBlock2D", "AttnUpDecoderBlock2D")


class Chain(Layer):
    """Layers and ops one after another, in the order that `in_order` gives.   x   ->   y.   back(dy) -> dx"""

    def forward(self, x):
        return chain(self.in_order(), x)


class CoderStage(Chain):
    """Residual blocks, each optionally followed by attention, then a change of size.   x (B, H, W, C)   ->   y"""

    def __init__(self, in_channels, channels, layers, attends, resize, rng, options):
        self.resnets, self.attentions = [], [] if attends else None
        for i in range(layers):
            self.resnets.append(ResnetBlock2D(channels if i else in_channels, channels, None, rng=rng, **options))
            if attends:
                self.attentions.append(spatial(channels, 1, rng, options))
        self.downsamplers = [Downsample2D(channels, padding=0, rng=rng)] if resize == "down" else None
        self.upsamplers = [Upsample2D(channels, rng)] if resize == "up" else None

    def in_order(self):
        for i, resnet in enumerate(self.resnets):
            yield resnet
            if self.attentions:
                yield self.attentions[i]
        yield from self.downsamplers or self.upsamplers or []


class Encoder(Chain):
    """x (B, H, W, in_channels)   ->   (B, H / 2^k, W / 2^k, out_channels), k one less than there are stages"""

    def __init__(self, in_channels, out_channels, kinds, channels, layers, groups, act, attention, rng):
        _check("down_block_types", kinds, channels, DOWN)
        options, last = dict(groups=groups, eps=EPS, act=act), channels[-1]
        self.conv_in = Conv2d(in_channels, channels[0], 3, padding=1, rng=rng)
        self.down_blocks = _stages(kinds, channels, layers, "down", rng, options)
        self.mid_block = MidBlock2D(last, None, 1 if attention else None, rng, **options)
        self.conv_norm_out = GroupNorm(groups, last, EPS)
        self.conv_out = Conv2d(last, out_channels, 3, padding=1, rng=rng)

    def in_order(self):
        return [self.conv_in, *self.down_blocks, self.mid_block, partial(self.conv_norm_out, silu=True), self.conv_out]


class Decoder(Chain):
    """z (B, h, w, in_channels)   ->   (B, h 2^k, w 2^k, out_channels)"""

    def __init__(self, in_channels, out_channels, kinds, channels, layers, groups, act, attention, rng):
        _check("up_block_types", kinds, channels, UP)
        options, last, first = dict(groups=groups, eps=EPS, act=act), channels[0], channels[-1]
        self.conv_in = Conv2d(in_channels, first, 3, padding=1, rng=rng)
        self.mid_block = MidBlock2D(first, None, 1 if attention else None, rng, **options)
        self.up_blocks = _stages(kinds, channels[::-1], layers + 1, "up", rng, options)
        self.conv_norm_out = GroupNorm(groups, last, EPS)
        self.conv_out = Conv2d(last, out_channels, 3, padding=1, rng=rng)

    def in_order(self):
        return [self.conv_in, self.mid_block, *self.up_blocks, partial(self.conv_norm_out, silu=True), self.conv_out]


def _stages(kinds, channels, layers, resize, rng, options):
    """One stage for each of `kinds`; all but the last change the size."""
    ends = zip(kinds, (channels[0], *channels[:-1]), channels, strict=True)
    return [
        CoderStage(before, after, layers, kind.startswith("Attn"), resize if i < len(channels) - 1 else None, rng, options)
        for i, (kind, before, after) in enumerate(ends)
    ]


def _check(name, kinds, channels, known):
    for kind in kinds:
        check_choice(name, kind, known)
    if len(kinds) != len(channels):
        raise ValueError(f"{name}: got {len(kinds)}, expected {len(channels)}, one for each of block_out_channels")


def check_image(name, x, channels):
    """Raises ValueError unless x is (B, H, W, channels)."""
    if x.ndim != 4 or x.shape[3] != channels:
        raise ValueError(f"{name}: got shape {tuple(x.shape)}, expected (B, H, W, {channels})")
