"""The U-Net that predicts noise: down to coarse images, up again, with skips across and the time in every block.

Ho et al. 2020 (arXiv:2006.11239), appendix B. Structure, option names and parameter names are those of
Hugging Face diffusers' UNet2DModel, so that its checkpoints fit; the layouts are ours (channels last).
"""

from .. import ops
from ..nn import Conv2d, GroupNorm, Layer
from ..ops.conv2d import crop_image, pad_image
from ..rng import as_rng
from .conditioning import ClassEmbedding, TimestepEmbedding, batch_of_times
from .unet_blocks import DownBlock2D, MidBlock2D, UpBlock2D


class UNet(Layer):
    """Images, a time and perhaps a class in; an image of the same size out.

    x (B, H, W, in_channels)   t scalar or (B,)   cond integers (B,) or None   ->   y (B, H, W, out_channels)
    back(dy) -> dx.   Any H and W: an image that the down steps do not divide is padded with zeros, and y cropped.

    sample_size          H (and W) the net is meant for; written down, not enforced
    block_out_channels   channels at each resolution, first to coarsest
    layers_per_block     residual blocks at each resolution (one more on the way up)
    down_block_types     "DownBlock2D" or "AttnDownBlock2D" for each resolution; up_block_types likewise
    attention_head_dim   features of one attention head; None: a single head
    num_class_embeds     how many classes, the null class counted in; None: unconditional
    null_class           the class that stands for "no condition" in classifier-free guidance
    """

    def __init__(self, sample_size=None, in_channels=3, out_channels=3, block_out_channels=(64, 128), layers_per_block=2,
                 down_block_types=None, up_block_types=None, attention_head_dim=8, norm_num_groups=32, norm_eps=1e-5,
                 dropout=0.0, num_class_embeds=None, null_class=None, flip_sin_to_cos=True, freq_shift=0,
                 downsample_padding=1, add_attention=True, resnet_time_scale_shift="default",
                 mid_block_scale_factor=1.0, rng=None):  # fmt: skip
        levels = len(block_out_channels)
        down_block_types = tuple(down_block_types or ("DownBlock2D",) * (levels - 1) + ("AttnDownBlock2D",))
        up_block_types = tuple(up_block_types or ("AttnUpBlock2D",) + ("UpBlock2D",) * (levels - 1))
        self.config = dict(
            sample_size=sample_size, in_channels=in_channels, out_channels=out_channels,
            block_out_channels=tuple(block_out_channels), layers_per_block=layers_per_block,
            down_block_types=tuple(down_block_types), up_block_types=tuple(up_block_types),
            attention_head_dim=attention_head_dim, norm_num_groups=norm_num_groups, norm_eps=norm_eps, dropout=dropout,
            num_class_embeds=num_class_embeds, null_class=null_class, flip_sin_to_cos=flip_sin_to_cos,
            freq_shift=freq_shift, downsample_padding=downsample_padding, add_attention=add_attention,
            resnet_time_scale_shift=resnet_time_scale_shift, mid_block_scale_factor=mid_block_scale_factor)  # fmt: skip
        _check_config(self.config)
        rng = as_rng(rng)
        first, temb_channels = block_out_channels[0], 4 * block_out_channels[0]
        options = dict(groups=norm_num_groups, eps=norm_eps, dropout=dropout,
                       scale_shift=resnet_time_scale_shift == "scale_shift")  # fmt: skip

        def heads(channels, attends=True):
            return (channels // attention_head_dim if attention_head_dim else 1) if attends else None

        self.conv_in = Conv2d(in_channels, first, 3, padding=1, rng=rng)
        self.time_embedding = TimestepEmbedding(first, temb_channels, rng)
        self.class_embedding = ClassEmbedding(num_class_embeds, temb_channels, rng) if num_class_embeds else None
        self.down_blocks, self.up_blocks, skips, before = [], [], [first], first
        for level, (kind, channels) in enumerate(zip(down_block_types, block_out_channels, strict=True)):
            last = level == levels - 1
            self.down_blocks.append(
                DownBlock2D(before, channels, temb_channels, layers_per_block, heads(channels, kind.startswith("Attn")),
                            not last, downsample_padding, rng, rescale=1.0, **options)  # fmt: skip
            )
            skips += [channels] * (layers_per_block + (not last))
            before = channels
        self.mid_block = MidBlock2D(before, temb_channels, heads(before, add_attention), rng,
                                    rescale=mid_block_scale_factor, **options)  # fmt: skip
        for level, (kind, channels) in enumerate(zip(up_block_types, reversed(block_out_channels), strict=True)):
            taken = [skips.pop() for _ in range(layers_per_block + 1)]
            self.up_blocks.append(
                UpBlock2D(before, channels, taken, temb_channels, heads(channels, kind.startswith("Attn")),
                          level != levels - 1, rng, rescale=1.0, **options)  # fmt: skip
            )
            before = channels
        self.conv_norm_out = GroupNorm(norm_num_groups, first, norm_eps)
        self.conv_out = Conv2d(first, out_channels, 3, padding=1, rng=rng)

    def forward(self, x, t, cond=None):
        if x.ndim != 4 or x.shape[3] != self.config["in_channels"]:
            raise ValueError(f"UNet: x has shape {tuple(x.shape)}, expected (B, H, W, {self.config['in_channels']})")
        temb, back_temb = self.embed(x, t, cond)  # (B, D)
        pads = self.pads(x)
        h, back_in = self.conv_in(pad_image(x, pads))
        skips, backs_down, backs_up = [h], [], []
        for block in self.down_blocks:
            (h, kept), back_block = block(h, temb)
            skips += kept
            backs_down.append((back_block, len(kept)))
        h, back_mid = self.mid_block(h, temb)
        for block in self.up_blocks:
            taken = [skips.pop() for _ in block.resnets][::-1]
            h, back_block = block(h, temb, taken)
            backs_up.append(back_block)
        h, back_norm = self.conv_norm_out(h)
        h, back_silu = ops.silu(h)
        h, back_out = self.conv_out(h)
        y = crop_image(h, pads)

        def back(dy):
            dh, dskips, dtemb = back_norm(back_silu(back_out(pad_image(dy, pads)))), [], 0
            for back_block in reversed(backs_up):
                dh, dtaken, dtemb_block = back_block(dh)
                dskips += dtaken  # the last block took the first skips, so this is the order in which they were made
                dtemb = dtemb + dtemb_block
            dh, dtemb_block = back_mid(dh)
            dtemb = dtemb + dtemb_block
            for back_block, count in reversed(backs_down):
                dh, dtemb_block = back_block(dh, dskips[-count:])
                del dskips[-count:]
                dtemb = dtemb + dtemb_block
            back_temb(dtemb)
            return crop_image(back_in(dh + dskips[0]), pads)

        return y, back

    def embed(self, x, t, cond):
        """The vector that tells every block the time and the class.   -> temb (B, D), back(dtemb) -> None"""
        options = self.config
        if cond is not None and self.class_embedding is None:
            raise ValueError("UNet: got cond, but this net is unconditional (num_class_embeds is None)")
        sinusoids = ops.timestep_embedding(
            batch_of_times(t, x), options["block_out_channels"][0], flip_sin_to_cos=options["flip_sin_to_cos"],
            downscale_freq_shift=options["freq_shift"], dtype=x.dtype)  # fmt: skip
        temb, back_time = self.time_embedding(sinusoids)
        if self.class_embedding is None:
            return temb, back_time
        classes, back_class = self.class_embedding(cond, x.shape[0])

        def back(dtemb):
            back_time(dtemb)
            back_class(dtemb)

        return temb + classes, back

    def pads(self, x):
        """How many rows and columns of zeros make every down step halve x exactly.   -> ((top, bottom), (left, right))"""
        multiple = 2 ** (len(self.down_blocks) - 1)
        return tuple((extra // 2, extra - extra // 2) for extra in (-n % multiple for n in x.shape[1:3]))

    def null_cond(self, cond):
        """The class "none" for each of `cond`; None where the net has no such class."""
        null = self.config["null_class"]
        return None if null is None or cond is None else cond * 0 + null


def _check_config(config):
    """Every option that would fail later, or silently do something else, fails here with its name."""
    levels = len(config["block_out_channels"])
    for name, kinds in (("down_block_types", ("DownBlock2D", "AttnDownBlock2D")),
                        ("up_block_types", ("UpBlock2D", "AttnUpBlock2D"))):  # fmt: skip
        if len(config[name]) != levels or any(kind not in kinds for kind in config[name]):
            raise ValueError(f"{name}: got {config[name]}, expected {levels} of {kinds}, one for each of block_out_channels")
    for name, choices in (("resnet_time_scale_shift", ("default", "scale_shift")), ("downsample_padding", (0, 1))):
        if config[name] not in choices:
            raise ValueError(f"{name}: got {config[name]!r}, expected one of {choices}")
    for channels in config["block_out_channels"]:
        if channels % config["norm_num_groups"]:
            raise ValueError(f"block_out_channels: {channels} is not divisible by norm_num_groups={config['norm_num_groups']}")
        if config["attention_head_dim"] and channels % config["attention_head_dim"]:
            raise ValueError(f"block_out_channels: {channels} is not divisible by attention_head_dim={config['attention_head_dim']}")
    classes, null = config["num_class_embeds"], config["null_class"]
    if null is not None and not (classes and 0 <= null < classes):
        raise ValueError(f"null_class: got {null}, expected a class in [0, num_class_embeds), which is {classes}")
