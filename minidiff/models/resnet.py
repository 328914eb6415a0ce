"""The residual block of every U-Net and autoencoder here, and the layers that halve and double the image size."""

from functools import partial

from .. import ops
from ..nn import Conv2d, Dropout, GroupNorm, Layer, Linear, chain
from ..ops.named import activation

RESAMPLE = {
    None: None,
    "up": lambda x: ops.upsample_nearest(x, 2),
    "down": lambda x: ops.avg_pool(x, 2),
    "fir_up": ops.fir_upsample,
    "fir_down": ops.fir_downsample,
}


class ResnetBlock2D(Layer):
    """norm, act, conv, + time; norm, act, dropout, conv; + x (through a 1x1 conv where the channels change).

    x (B, H, W, in_channels)   temb (B, temb_channels)   ->   y (B, H, W, out_channels).   back(dy) -> (dx, dtemb)

    temb_channels None: a block without a time; call it with x alone, and back(dy) -> dx
    scale_shift    the time scales and shifts the second norm instead of being added before it (arXiv:2105.05233)
    rescale        the sum at the end is divided by it
    groups_out     groups of the second norm, where they differ
    act            name of the activation
    time_act       False: the time embedding enters its linear layer without an activation
    resample       "up", "down", "fir_up", "fir_down": both branches change size after the first activation
    shortcut       True puts the 1x1 conv beside the branch even where the channels stay
    """

    def __init__(self, in_channels, out_channels, temb_channels, groups=32, eps=1e-5, dropout=0.0, scale_shift=False,
                 rescale=1.0, groups_out=None, act="silu", time_act=True, resample=None, shortcut=False, rng=None):  # fmt: skip
        self.norm1 = GroupNorm(groups, in_channels, eps)
        self.conv1 = Conv2d(in_channels, out_channels, 3, padding=1, rng=rng)
        if temb_channels is None:
            self.time_emb_proj = None
        else:
            self.time_emb_proj = Linear(temb_channels, out_channels * (2 if scale_shift else 1), rng=rng)
        self.norm2 = GroupNorm(groups_out or groups, out_channels, eps)
        self.dropout = Dropout(dropout)
        self.conv2 = Conv2d(out_channels, out_channels, 3, padding=1, rng=rng)
        shortcut = shortcut or in_channels != out_channels
        self.conv_shortcut = Conv2d(in_channels, out_channels, 1, rng=rng) if shortcut else None
        self.scale_shift, self.rescale = scale_shift and temb_channels is not None, rescale
        self.act, self.time_act, self.resample = activation(act), time_act, RESAMPLE[resample]

    def forward(self, x, temb=None):
        h, back_norm1 = norm_act(self.norm1, self.act, x)
        h, back_conv1 = chain([self.resample, self.conv1], h)
        time, back_time = self.time(temb)
        if self.scale_shift:
            O = h.shape[-1]
            scale, shift = time[:, None, None, :O], time[:, None, None, O:]  # (B, 1, 1, O)
            normed, back_norm2 = self.norm2(h)
            h, back_act2 = self.act(normed * (1 + scale) + shift)
        else:
            h, back_norm2 = norm_act(self.norm2, self.act, h, time)
        h, back_conv2 = chain([self.dropout, self.conv2], h)
        skip, back_skip = chain([self.resample, self.conv_shortcut], x)
        y = skip + h
        if self.rescale != 1:
            y = y * (1.0 / self.rescale)

        def back(dy):
            dsum = dy if self.rescale == 1 else dy * (1.0 / self.rescale)
            dh = back_conv2(dsum)
            if self.scale_shift:
                dh = back_act2(dh)
                dscale, dshift = (dh * normed).sum(axis=(1, 2)), dh.sum(axis=(1, 2))  # (B, O)
                dtime, _ = ops.concat([dscale, dshift])  # (B, 2 O)
                dh = back_norm2(dh * (1 + scale))
            else:
                dh, dtime = back_norm2(dh) if back_time else (back_norm2(dh), None)
            dx = back_norm1(back_conv1(dh)) + back_skip(dsum)  # x was used twice
            return dx if back_time is None else (dx, back_time(dtime))

        return y, back

    def time(self, temb):
        """The time embedding, projected for each pixel.   temb (B, D) -> (B, O) or (B, 2 O), back(dtime) -> dtemb"""
        if self.time_emb_proj is None:
            return None, None
        return chain([self.act if self.time_act else None, self.time_emb_proj], temb)


def norm_act(norm, act, x, time=None):
    """act(norm(x + time)), in one op where there is one.   x (B, H, W, C), time (B, C) or None
    ->   y, back;   back(dy) -> dx, or (dx, dtime) where there is a time"""
    if act is ops.silu:
        return norm(x, silu=True, temb=time)
    h, back_norm = norm(x if time is None else x + time[:, None, None, :])
    y, back_act = act(h)

    def back(dy):
        dx = back_norm(back_act(dy))
        return dx if time is None else (dx, dx.sum(axis=(1, 2)))  # the time was added at every pixel

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
    """Twice the height and width: each pixel four times, then a 3x3 conv.   x (B, H, W, C)   ->   y (B, 2H, 2W, C)

    size (H', W'): to this size instead, where the skip connection has an odd size.
    """

    def __init__(self, channels, rng=None):
        self.conv = Conv2d(channels, channels, 3, padding=1, rng=rng)

    def forward(self, x, size=None):
        twice = (2 * x.shape[1], 2 * x.shape[2])
        resize = ops.upsample_nearest if size in (None, twice) else partial(ops.resize_nearest, height=size[0], width=size[1])
        return chain([resize, self.conv], x)
