"""NCSN++: a U-Net that carries an image beside the features, halved and doubled through a smooth filter.

On the way down the halved input image is added in at every resolution; on the way up every resolution adds its part to
an output image. Song et al. 2021 (arXiv:2011.13456), appendix H. Structure and parameter names are those of diffusers'
SkipDownBlock2D and SkipUpBlock2D, and of their kinds with attention; so are the numbers of groups.
"""

import math
from functools import partial

from ... import ops
from ...nn import Conv2d, GroupNorm, Layer, chain
from ..resnet import ResnetBlock2D
from .blocks import spatial
from .down_up import down, up
from .plain import UNet

CHANNELS = 3  # of the image: those blocks support no other number


class NCSNpp(UNet):
    """A U-Net of Skip stages, optionally with plain ones below: `UNet(...)` builds it for block types of these names."""

    stages = ("SkipDownBlock2D", "AttnSkipDownBlock2D", "SkipUpBlock2D", "AttnSkipUpBlock2D")

    def check(self):
        """The image must have the features' size at every stage that carries it."""
        super().check()
        config = self.config
        skip_down, skip_up = ([kind in self.stages for kind in config[way]] for way in ("down_block_types", "up_block_types"))
        if any(skip_down) and (sorted(skip_down, reverse=True) != skip_down or config["in_channels"] != CHANNELS):
            raise ValueError(
                f"down_block_types: Skip blocks come first and need in_channels=3, got {config['down_block_types']} and "
                f"in_channels={config['in_channels']}"
            )
        if any(skip_up) and (sorted(skip_up) != skip_up or (sum(skip_up) > 1 and config["out_channels"] != CHANNELS)):
            raise ValueError(
                f"up_block_types: Skip blocks come last and need out_channels=3, got {config['up_block_types']} and "
                f"out_channels={config['out_channels']}"
            )

    def down_stage(self, kind, before, channels, last, options):
        if kind not in self.stages:
            return super().down_stage(kind, before, channels, last, options)
        return SkipDownBlock2D(before, channels, layers=self.config["layers_per_block"], heads=self.heads(kind, channels),
                               downsample=not last, **options)  # fmt: skip

    def up_stage(self, kind, before, channels, last, skips, options):
        if kind not in self.stages:
            return super().up_stage(kind, before, channels, last, skips, options)
        taken = [skips.pop() for _ in range(self.config["layers_per_block"] + 1)]
        return SkipUpBlock2D(before, channels, taken, heads=self.heads(kind, channels), upsample=not last, **options)

    def trunk(self, image, temb):
        down_skip, down_plain = _apart(self.down_blocks)
        up_skip, up_plain = _apart(self.up_blocks)
        h, back_in = self.conv_in(image)
        skips = [h]
        (h, _), back_down_skip = down(down_skip, (h, image), skips, temb)
        h, back_down = down(down_plain, h, skips, temb)
        h, back_mid = self.mid_block(h, temb)
        h, back_up = up(up_plain, h, skips, temb)
        (h, image), back_up_skip = up(up_skip, (h, None), skips, temb)
        h, back_norm = self.conv_norm_out(h, silu=True)
        y, back_out = self.conv_out(h)

        def back(dy):
            dskips = []
            (dh, _), dtemb = back_up_skip((back_norm(back_out(dy)), dy), dskips, 0)
            dh, dtemb = back_up(dh, dskips, dtemb)
            dh, dtemb_mid = back_mid(dh)
            dh, dtemb = back_down(dh, dskips, dtemb + dtemb_mid)
            (dh, dimage), dtemb = back_down_skip((dh, 0), dskips, dtemb)
            return back_in(dh + dskips.pop()) + dimage, dtemb

        return y if image is None else y + image, back


def _apart(stages):
    """The stages that carry the image, and the plain ones."""
    skip = [stage for stage in stages if isinstance(stage, _SkipStage)]
    return skip, [stage for stage in stages if stage not in skip]


def _groups(channels):
    return min(channels // 4, 32)


class _SkipStage(Layer):
    def options(self, options):
        """Options that its residual blocks share, without their groups."""
        return {name: value for name, value in options.items() if name != "groups"} | {"rescale": math.sqrt(2.0)}

    def resizer(self, channels, temb_channels, resample, rng, options):
        """The residual block that changes the size, with a 1x1 conv beside it in every case."""
        return ResnetBlock2D(channels, channels, temb_channels, _groups(channels), shortcut=True, resample=resample, rng=rng,
                             **options)  # fmt: skip


class SkipDownBlock2D(_SkipStage):
    """(x (B, H, W, C), image (B, H, W, 3)), temb   ->   ((y, the image at y's size), skips)

    back((dy, dimage), dskips) -> ((dx, dimage), dtemb)
    """

    def __init__(self, in_channels, channels, temb_channels, layers, heads=None, downsample=True, rng=None, **options):
        options = self.options(options)
        self.keeps = layers + downsample
        self.attentions, self.resnets = [] if heads else None, []
        for i in range(layers):
            c = in_channels if i == 0 else channels
            self.resnets.append(
                ResnetBlock2D(c, channels, temb_channels, _groups(c), groups_out=_groups(channels), rng=rng, **options)
            )
            if heads:
                self.attentions.append(spatial(channels, heads, rng, options, groups=32))
        self.resnet_down = self.resizer(channels, temb_channels, "fir_down", rng, options) if downsample else None
        self.skip_conv = Conv2d(CHANNELS, channels, 1, rng=rng) if downsample else None

    def forward(self, both, temb):
        (x, image), skips, backs = both, [], []
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

        def back(dboth, dskips):
            (dy, dimage), dskips, dtemb = dboth, list(dskips), 0
            if self.resnet_down is not None:
                dy = dy + dskips.pop()
                dimage = back_fir(back_conv(dy) + dimage)
                dy, dtemb = back_down(dy)
            for back_resnet, back_attention in reversed(backs):
                dy, dtemb_i = back_resnet(back_attention(dy + dskips.pop()))
                dtemb = dtemb + dtemb_i
            return (dy, dimage), dtemb

        return ((x, image), skips), back


class SkipUpBlock2D(_SkipStage):
    """(x, image (B, H/2, W/2, 3) or None from the stage below), skips, temb   ->   (y, image (B, H, W, 3))

    back((dy, dimage)) -> ((dx, dimage), dskips, dtemb).   One attention, after all residual blocks.
    """

    def __init__(self, in_channels, channels, skip_channels, temb_channels, heads=None, upsample=True, rng=None, **options):
        options = self.options(options)
        self.takes, self.attentions, self.resnets = len(skip_channels), None, []
        for i, skip in enumerate(skip_channels):
            c = in_channels if i == 0 else channels
            # with attention that library writes c + skip // 4 where it means (c + skip) // 4, and models were trained so
            groups = min(c + skip // 4, 32) if heads else _groups(c + skip)
            self.resnets.append(
                ResnetBlock2D(c + skip, channels, temb_channels, groups, groups_out=_groups(channels), rng=rng, **options)
            )
        if heads:
            self.attentions = [spatial(channels, heads, rng, options, groups=32)]
        self.resnet_up = self.resizer(channels, temb_channels, "fir_up", rng, options) if upsample else None
        self.skip_conv = Conv2d(channels, CHANNELS, 3, padding=1, rng=rng) if upsample else None
        self.skip_norm = GroupNorm(_groups(channels), channels, options["eps"]) if upsample else None

    def forward(self, both, skips, temb):
        (x, image), backs, back_fir = both, [], None
        for i, resnet in enumerate(self.resnets):
            x, back_cat = ops.concat([x, skips[-1 - i]])
            x, back_resnet = resnet(x, temb)
            backs.append((back_cat, back_resnet))
        x, back_attention = self.attentions[0](x) if self.attentions else (x, lambda dy: dy)
        if image is not None:
            image, back_fir = ops.fir_upsample(image)
        if self.resnet_up is not None:
            part, back_part = chain([partial(self.skip_norm, silu=True), self.skip_conv], x)
            image = part if image is None else image + part
            x, back_up = self.resnet_up(x, temb)

        def back(dboth):
            (dy, dimage), dskips, dtemb = dboth, [], 0
            if self.resnet_up is not None:
                dy, dtemb = back_up(dy)
                dy = dy + back_part(dimage)  # x was used by the next stage and by the image
            dy = back_attention(dy)
            for back_cat, back_resnet in reversed(backs):
                dcat, dtemb_i = back_resnet(dy)
                dy, dskip = back_cat(dcat)
                dskips.append(dskip)
                dtemb = dtemb + dtemb_i
            return (dy, back_fir(dimage) if back_fir else None), dskips, dtemb

        return (x, image), back
