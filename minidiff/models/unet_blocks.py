"""The blocks of the U-Net, with the structure and the parameter names of diffusers' UNet2DModel.

Each block's forward takes x (B, H, W, C) and the time's vector temb (B, D); its back gives (dx, dtemb).
"""

from .. import ops
from ..nn import Conv2d, Dropout, GroupNorm, Layer, Linear, SpatialAttention


class ResnetBlock2D(Layer):
    """norm, SiLU, conv, + time; norm, SiLU, dropout, conv; + x (through a 1x1 conv where the channels change).

    x (B, H, W, in_channels)   temb (B, temb_channels)   ->   y (B, H, W, out_channels).   back(dy) -> (dx, dtemb)
    scale_shift: the time scales and shifts the second norm instead of being added before it (arXiv:2105.05233).
    """

    def __init__(self, in_channels, out_channels, temb_channels, groups=32, eps=1e-5, dropout=0.0, scale_shift=False,
                 rescale=1.0, groups_out=None, rng=None):  # fmt: skip
        self.norm1 = GroupNorm(groups, in_channels, eps)
        self.conv1 = Conv2d(in_channels, out_channels, 3, padding=1, rng=rng)
        self.time_emb_proj = Linear(temb_channels, out_channels * (2 if scale_shift else 1), rng=rng)
        self.norm2 = GroupNorm(groups_out or groups, out_channels, eps)
        self.dropout = Dropout(dropout)
        self.conv2 = Conv2d(out_channels, out_channels, 3, padding=1, rng=rng)
        self.conv_shortcut = Conv2d(in_channels, out_channels, 1, rng=rng) if in_channels != out_channels else None
        self.scale_shift, self.rescale = scale_shift, rescale

    def forward(self, x, temb):
        h, back_norm1 = self.norm1(x)
        h, back_silu1 = ops.silu(h)
        h, back_conv1 = self.conv1(h)
        time, back_silu_t = ops.silu(temb)
        time, back_time = self.time_emb_proj(time)  # (B, O) or (B, 2 O)
        time = time[:, None, None, :]
        if self.scale_shift:
            O = h.shape[-1]
            scale, shift = time[..., :O], time[..., O:]
            normed, back_norm2 = self.norm2(h)
            h = normed * (1 + scale) + shift
        else:
            h, back_norm2 = self.norm2(h + time)
        h, back_silu2 = ops.silu(h)
        h, back_drop = self.dropout(h)
        h, back_conv2 = self.conv2(h)
        skip, back_skip = (x, None) if self.conv_shortcut is None else self.conv_shortcut(x)
        y = skip + h
        if self.rescale != 1:
            y = y * (1.0 / self.rescale)

        def back(dy):
            dsum = dy if self.rescale == 1 else dy * (1.0 / self.rescale)
            dh = back_silu2(back_drop(back_conv2(dsum)))
            if self.scale_shift:
                dscale, dshift = (dh * normed).sum(axis=(1, 2)), dh.sum(axis=(1, 2))  # (B, O)
                dtime, _ = ops.concat([dscale, dshift])  # (B, 2 O)
                dh = back_norm2(dh * (1 + scale))
            else:
                dh = back_norm2(dh)
                dtime = dh.sum(axis=(1, 2))  # (B, O): the time was added at every pixel
            dx = back_norm1(back_silu1(back_conv1(dh)))
            return dx + (dsum if back_skip is None else back_skip(dsum)), back_silu_t(back_time(dtime))

        return y, back


class Downsample2D(Layer):
    """Half the height and width by a 3x3 conv of stride 2.   x (B, H, W, C)   ->   y (B, ceil(H/2), ceil(W/2), C)

    padding 1 on every side, or 0: then one row and column of zeros at the bottom and right, as the first DDPM code had.
    """

    def __init__(self, channels, padding=1, rng=None):
        pads = 1 if padding else ((0, 1), (0, 1))
        self.conv = Conv2d(channels, channels, 3, stride=2, padding=pads, rng=rng)

    def forward(self, x):
        return self.conv(x)


class Upsample2D(Layer):
    """Twice the height and width: each pixel four times, then a 3x3 conv.   x (B, H, W, C)   ->   y (B, 2H, 2W, C)"""

    def __init__(self, channels, rng=None):
        self.conv = Conv2d(channels, channels, 3, padding=1, rng=rng)

    def forward(self, x):
        h, back_up = ops.upsample_nearest(x, 2)
        y, back_conv = self.conv(h)

        def back(dy):
            return back_up(back_conv(dy))

        return y, back


class _Stage(Layer):
    """Residual blocks at one resolution, each perhaps followed by attention. What down and up stages share."""

    def build(self, channels_in, channels, temb_channels, heads, rng, **options):
        """channels_in: what each residual block gets. heads: None where there is no attention."""
        groups, eps, rescale = options["groups"], options["eps"], options["rescale"]
        self.resnets, self.attentions = [], [] if heads else None
        for c in channels_in:
            self.resnets.append(ResnetBlock2D(c, channels, temb_channels, rng=rng, **options))
            if heads:
                self.attentions.append(SpatialAttention(channels, heads, groups, eps, rescale, rng=rng))

    def run(self, i, x, temb):
        """Residual block i and its attention.   -> y, back; back(dy) -> (dx, dtemb)"""
        h, back_resnet = self.resnets[i](x, temb)
        if self.attentions is None:
            return h, back_resnet
        y, back_attention = self.attentions[i](h)

        def back(dy):
            return back_resnet(back_attention(dy))

        return y, back


class DownBlock2D(_Stage):
    """Blocks, then half the size.   -> (y, skips): every intermediate image is kept for the way up.

    back(dy, dskips) -> (dx, dtemb)
    """

    def __init__(self, in_channels, channels, temb_channels, layers, heads=None, downsample=True, padding=1, rng=None, **options):
        self.build([in_channels] + [channels] * (layers - 1), channels, temb_channels, heads, rng, **options)
        self.downsamplers = [Downsample2D(channels, padding, rng)] if downsample else None

    def forward(self, x, temb):
        skips, backs, back_down = [], [], None
        for i in range(len(self.resnets)):
            x, back_i = self.run(i, x, temb)
            skips.append(x)
            backs.append(back_i)
        if self.downsamplers:
            x, back_down = self.downsamplers[0](x)
            skips.append(x)

        def back(dy, dskips):
            dskips, dtemb = list(dskips), 0
            if back_down:
                dy = back_down(dy + dskips.pop())
            for back_i in reversed(backs):
                dy, dtemb_i = back_i(dy + dskips.pop())  # each image went on and up: two terms
                dtemb = dtemb + dtemb_i
            return dy, dtemb

        return (x, skips), back


class UpBlock2D(_Stage):
    """Blocks that each take one skip beside x, then twice the size.

    x (B, H, W, C)   skips: list, the last is used first   ->   y.   back(dy) -> (dx, dskips, dtemb)
    """

    def __init__(self, in_channels, channels, skip_channels, temb_channels, heads=None, upsample=True, rng=None, **options):
        incoming = [in_channels] + [channels] * (len(skip_channels) - 1)
        both = [c + s for c, s in zip(incoming, skip_channels, strict=True)]
        self.build(both, channels, temb_channels, heads, rng, **options)
        self.upsamplers = [Upsample2D(channels, rng)] if upsample else None

    def forward(self, x, temb, skips):
        backs, back_up = [], None
        for i in range(len(self.resnets)):
            x, back_cat = ops.concat([x, skips[-1 - i]])
            x, back_i = self.run(i, x, temb)
            backs.append((back_cat, back_i))
        if self.upsamplers:
            x, back_up = self.upsamplers[0](x)

        def back(dy):
            dskips, dtemb = [], 0
            if back_up:
                dy = back_up(dy)
            for back_cat, back_i in reversed(backs):
                dcat, dtemb_i = back_i(dy)
                dy, dskip = back_cat(dcat)
                dskips.append(dskip)
                dtemb = dtemb + dtemb_i
            return dy, dskips, dtemb  # dskips in the order of `skips`

        return x, back


class MidBlock2D(Layer):
    """Block, attention, block at the lowest resolution.   x, temb -> y.   back(dy) -> (dx, dtemb)"""

    def __init__(self, channels, temb_channels, heads=None, rng=None, **options):
        groups, eps, rescale = options["groups"], options["eps"], options["rescale"]
        self.resnets = [ResnetBlock2D(channels, channels, temb_channels, rng=rng, **options)]
        self.attentions = [SpatialAttention(channels, heads, groups, eps, rescale, rng=rng)] if heads else []
        self.resnets.append(ResnetBlock2D(channels, channels, temb_channels, rng=rng, **options))

    def forward(self, x, temb):
        h, back_1 = self.resnets[0](x, temb)
        h, back_attention = self.attentions[0](h) if self.attentions else (h, lambda dy: dy)
        y, back_2 = self.resnets[1](h, temb)

        def back(dy):
            dh, dtemb_2 = back_2(dy)
            dx, dtemb_1 = back_1(back_attention(dh))
            return dx, dtemb_1 + dtemb_2

        return y, back
