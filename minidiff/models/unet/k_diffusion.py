"""The U-Net of k-diffusion: the time scales and shifts every norm, and sizes change through a smooth filter.

Structure and parameter names are those of diffusers' KDownBlock2D and KUpBlock2D; so are their groups of 32 channels.
"""

from ... import ops
from ...backend import xp_of
from ...nn import Conv2d, Dropout, Layer, Linear, chain
from ...ops.named import activation
from .blocks import DownBlock2D
from .plain import UNet

GROUP = 32
SHARED = ("temb_channels", "eps", "dropout", "act", "rng")  # options that the residual blocks take


class KUNet(UNet):
    """A U-Net of K stages: `UNet(...)` builds it for block types of these names."""

    stages = ("KDownBlock2D", "KUpBlock2D")

    def check(self):
        super().check()
        kinds = (*self.config["down_block_types"], *self.config["up_block_types"])
        if not set(kinds) <= set(self.stages):
            raise ValueError(
                f"down_block_types, up_block_types: KDownBlock2D and KUpBlock2D do not mix with others, got {kinds}"
            )

    def down_stage(self, kind, before, channels, last, options):
        layers, shared = self.config["layers_per_block"], {name: options[name] for name in SHARED}
        return KDownBlock2D(before, channels, layers=layers, downsample=not last, **shared)

    def up_stage(self, kind, before, channels, last, skips, options):
        layers, shared = self.config["layers_per_block"], {name: options[name] for name in SHARED}
        following = channels if last else self.config["block_out_channels"][-2 - len(self.up_blocks)]
        return KUpBlock2D(channels, following, layers=layers, upsample=not last, **shared)


class AdaGroupNorm(Layer):
    """Group norm whose scale and shift are linear in the time embedding.   x (B, H, W, C), temb (B, D)   ->   y, x's shape"""

    def __init__(self, temb_channels, channels, groups, eps=1e-5, rng=None):
        if groups < 1 or channels % groups:
            raise ValueError(f"AdaGroupNorm: groups is {groups}, expected a divisor of the {channels} channels")
        self.linear = Linear(temb_channels, 2 * channels, rng=rng)
        self.groups, self.eps = groups, eps

    def forward(self, x, temb):
        C, xp = x.shape[-1], xp_of(x)
        one, zero = xp.ones(C, x.dtype), xp.zeros(C, x.dtype)  # a norm without parameters
        normed, back_norm = ops.group_norm(x, one, zero, self.groups, self.eps)
        h, back_linear = self.linear(temb)
        scale, shift = h[:, None, None, :C], h[:, None, None, C:]

        def back(dy):
            dscale, dshift = (dy * normed).sum(axis=(1, 2)), dy.sum(axis=(1, 2))  # (B, C)
            dh, _ = ops.concat([dscale, dshift])
            return back_norm(dy * (1 + scale))[0], back_linear(dh)

        return normed * (1 + scale) + shift, back


class ResnetBlockCondNorm2D(Layer):
    """norm, act, conv; norm, act, dropout, conv; + x. The time enters through both norms.   back(dy) -> (dx, dtemb)"""

    def __init__(self, in_channels, out_channels, temb_channels, groups, groups_out, eps, dropout=0.0, act="gelu", rng=None):
        self.norm1 = AdaGroupNorm(temb_channels, in_channels, groups, eps, rng)
        self.conv1 = Conv2d(in_channels, out_channels, 3, padding=1, rng=rng)
        self.norm2 = AdaGroupNorm(temb_channels, out_channels, groups_out, eps, rng)
        self.dropout = Dropout(dropout)
        self.conv2 = Conv2d(out_channels, out_channels, 3, padding=1, rng=rng)
        self.conv_shortcut = Conv2d(in_channels, out_channels, 1, bias=False, rng=rng) if in_channels != out_channels else None
        self.act = activation(act)

    def forward(self, x, temb):
        h, back_norm1 = self.norm1(x, temb)
        h, back_conv1 = chain([self.act, self.conv1], h)
        h, back_norm2 = self.norm2(h, temb)
        h, back_conv2 = chain([self.act, self.dropout, self.conv2], h)
        skip, back_skip = chain([self.conv_shortcut], x)

        def back(dy):
            dh, dtemb_2 = back_norm2(back_conv2(dy))
            dx, dtemb_1 = back_norm1(back_conv1(dh))
            return dx + back_skip(dy), dtemb_1 + dtemb_2

        return skip + h, back


class KDownBlock2D(DownBlock2D):
    """x, temb   ->   (y, skips): the outputs of the residual blocks, not that of the last halving.   back(dy, dskips)"""

    def __init__(self, in_channels, channels, temb_channels, layers, downsample=True, rng=None, **options):
        groups = channels // GROUP
        self.resnets = [
            ResnetBlockCondNorm2D(c, channels, temb_channels, c // GROUP, groups, rng=rng, **options)
            for c in [in_channels] + [channels] * (layers - 1)
        ]
        self.downsample, self.keeps, self.attentions, self.downsamplers = downsample, layers, None, None

    def forward(self, x, temb):
        (x, skips), back_blocks = super().forward(x, temb)
        y, back_down = ops.fir_downsample(x, edge="reflect") if self.downsample else (x, lambda dy: dy)

        def back(dy, dskips):
            return back_blocks(back_down(dy), dskips)

        return (y, skips), back


class KUpBlock2D(Layer):
    """x, skips, temb   ->   y. Only the last skip is used, once, concatenated to x.   back(dy) -> (dx, dskips, dtemb)

    The last residual block already has the channels of the next stage, next_channels. `takes` counts the skips of this size;
    without upsample also the first of all, conv_in's.
    """

    def __init__(self, channels, next_channels, temb_channels, layers, upsample=True, rng=None, **options):
        self.resnets = []
        for i in range(layers):
            c, o = channels * (2 if i == 0 else 1), next_channels if i == layers - 1 else channels
            self.resnets.append(ResnetBlockCondNorm2D(c, o, temb_channels, c // GROUP, channels // GROUP, rng=rng, **options))
        self.upsample, self.takes = upsample, layers + (not upsample)

    def forward(self, x, skips, temb):
        x, back_cat = ops.concat([x, skips[-1]])
        backs = []
        for resnet in self.resnets:
            x, back_resnet = resnet(x, temb)
            backs.append(back_resnet)
        y, back_up = ops.fir_upsample(x, edge="reflect") if self.upsample else (x, lambda dy: dy)

        def back(dy):
            dy, dtemb = back_up(dy), 0
            for back_resnet in reversed(backs):
                dy, dtemb_i = back_resnet(dy)
                dtemb = dtemb + dtemb_i
            dx, dskip = back_cat(dy)
            return dx, [0] * (self.takes - 1) + [dskip], dtemb

        return y, back
