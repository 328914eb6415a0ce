"""Stages of NCSN++: beside the features they carry the picture itself, halved and doubled through a smooth filter.

On the way down the halved input picture is added in at every resolution; on the way up every resolution adds its part to
an output picture. Song et al. 2021 (arXiv:2011.13456), appendix H. Structure and parameter names are those of diffusers'
SkipDownBlock2D and SkipUpBlock2D, and of their kinds with attention; so are the numbers of groups.
"""

import math

from ... import ops
from ...nn import Conv2d, GroupNorm, Layer
from ..resnet import ResnetBlock2D
from .blocks import spatial

PICTURE = 3  # channels of the picture: those blocks know no other number


def _groups(channels):
    return min(channels // 4, 32)


class _SkipStage(Layer):
    has_image = True

    def attention(self, channels, heads, rng, options):
        return spatial(channels, heads, rng, options, groups=32)

    def resizer(self, channels, temb_channels, resample, rng, options):
        """The residual block that changes the size, with a 1x1 conv beside it in every case."""
        return ResnetBlock2D(channels, channels, temb_channels, _groups(channels), shortcut=True, resample=resample, rng=rng,
                             **options)  # fmt: skip


class SkipDownBlock2D(_SkipStage):
    """x (B, H, W, C), temb, image (B, H, W, 3)   ->   (y, skips, the image at y's size).

    back(dy, dskips, dimage) -> (dx, dtemb, dimage)
    """

    def __init__(self, in_channels, channels, temb_channels, layers, heads=None, downsample=True, rng=None, **options):
        options |= {"rescale": math.sqrt(2.0)}
        self.attentions, self.resnets = [] if heads else None, []
        for i in range(layers):
            c = in_channels if i == 0 else channels
            self.resnets.append(
                ResnetBlock2D(c, channels, temb_channels, _groups(c), groups_out=_groups(channels), rng=rng, **options)
            )
            if heads:
                self.attentions.append(self.attention(channels, heads, rng, options))
        self.resnet_down = self.resizer(channels, temb_channels, "fir_down", rng, options) if downsample else None
        self.skip_conv = Conv2d(PICTURE, channels, 1, rng=rng) if downsample else None

    def forward(self, x, temb, image):
        skips, backs = [], []
        for i, resnet in enumerate(self.resnets):
            x, back_resnet = resnet(x, temb)
            x, back_attention = self.attentions[i](x) if self.attentions else (x, lambda dy: dy)
            skips.append(x)
            backs.append((back_resnet, back_attention))
        if self.resnet_down is not None:
            x, back_down = self.resnet_down(x, temb)
            image, back_fir = ops.fir_downsample(image)
            added, back_conv = self.skip_conv(image)
            x = x + added
            skips.append(x)

        def back(dy, dskips, dimage):
            dskips, dtemb = list(dskips), 0
            if self.resnet_down is not None:
                dy = dy + dskips.pop()
                dimage = back_fir(back_conv(dy) + dimage)
                dy, dtemb = back_down(dy)
            for back_resnet, back_attention in reversed(backs):
                dy, dtemb_i = back_resnet(back_attention(dy + dskips.pop()))
                dtemb = dtemb + dtemb_i
            return dy, dtemb, dimage

        return (x, skips, image), back


class SkipUpBlock2D(_SkipStage):
    """x, skips, temb, image (B, H/2, W/2, 3) or None from the stage below   ->   (y, image (B, H, W, 3)).

    back(dy, dimage) -> (dx, dskips, dtemb, dimage).   One attention, after all residual blocks.
    """

    def __init__(self, in_channels, channels, skip_channels, temb_channels, heads=None, upsample=True, rng=None, **options):
        options |= {"rescale": math.sqrt(2.0)}
        self.attentions, self.resnets = None, []
        for i, skip in enumerate(skip_channels):
            c = in_channels if i == 0 else channels
            # with attention that library writes c + skip // 4 where it means (c + skip) // 4, and nets were trained so
            groups = min(c + skip // 4, 32) if heads else _groups(c + skip)
            self.resnets.append(
                ResnetBlock2D(c + skip, channels, temb_channels, groups, groups_out=_groups(channels), rng=rng, **options)
            )
        if heads:
            self.attentions = [self.attention(channels, heads, rng, options)]
        self.resnet_up = self.resizer(channels, temb_channels, "fir_up", rng, options) if upsample else None
        self.skip_conv = Conv2d(channels, PICTURE, 3, padding=1, rng=rng) if upsample else None
        self.skip_norm = GroupNorm(_groups(channels), channels, options["eps"]) if upsample else None

    def forward(self, x, skips, temb, image=None):
        backs, back_fir = [], None
        for i, resnet in enumerate(self.resnets):
            x, back_cat = ops.concat([x, skips[-1 - i]])
            x, back_resnet = resnet(x, temb)
            backs.append((back_cat, back_resnet))
        x, back_attention = self.attentions[0](x) if self.attentions else (x, lambda dy: dy)
        if image is not None:
            image, back_fir = ops.fir_upsample(image)
        if self.resnet_up is not None:
            h, back_norm = self.skip_norm(x, silu=True)
            part, back_conv = self.skip_conv(h)
            image = part if image is None else image + part
            x, back_up = self.resnet_up(x, temb)

        def back(dy, dimage):
            dskips, dtemb = [], 0
            if self.resnet_up is not None:
                dy, dtemb = back_up(dy)
                dy = dy + back_norm(back_conv(dimage))  # x went on up and into the picture
            dy = back_attention(dy)
            for back_cat, back_resnet in reversed(backs):
                dcat, dtemb_i = back_resnet(dy)
                dy, dskip = back_cat(dcat)
                dskips.append(dskip)
                dtemb = dtemb + dtemb_i
            return dy, dskips, dtemb, back_fir(dimage) if back_fir else None

        return (x, image), back
