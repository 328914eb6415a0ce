"""The U-Net that predicts noise: down to coarse images and up again, with skip connections and a time embedding in every block.

Ho et al. 2020 (arXiv:2006.11239), appendix B. Structure, option names and parameter names are those of
Hugging Face diffusers' UNet2DModel, so that its checkpoints fit; arrays are channels last here.
"""

import functools

from ...complex_step import cast
from ...nn import Conv2d, GroupNorm, Layer, chain
from ...ops.conv2d import crop_image, pad_image
from ...rng import as_rng
from ..conditioning import ClassEmbedding, TimestepEmbedding, batch_of_times
from ..time_features import time_features
from . import options as options_of
from .blocks import DownBlock2D, MidBlock2D, NoMiddle, UpBlock2D
from .down_up import down, up


class UNet(Layer):
    """Predicts an image of x's size from a noisy image, t and optionally a class.

    x (B, H, W, in_channels)   t scalar or (B,)   cond integers (B,) or None   ->   y (B, H, W, out_channels)
    back(dy) -> dx.   Any H and W: an image that the down steps do not divide is padded with zeros, and y cropped.

    sample_size          H (and W) the model is meant for; stored in config, not enforced
    block_out_channels   channels at each resolution, first to coarsest
    layers_per_block     residual blocks at each resolution (one more on the way up)
    down_block_types     for each resolution one of `unet.options.DOWN`: DownBlock2D, AttnDownBlock2D, ...;
    up_block_types       likewise of `unet.options.UP`, the coarsest first
    attention_head_dim   features of one attention head; None: a single head
    num_class_embeds     how many classes, including the null class; None: unconditional
    null_class           the class that stands for "no condition" in classifier-free guidance
    class_embed_type     None: as above; "timestep": cond is one number for each image, embedded as t is;
                         "identity": cond is a vector (B, time_embedding_dim), added to the time embedding. back -> (dx, dcond)
    time_embedding_type  "positional", "fourier" (t > 0 is a noise level, and y is divided by it) or "learned"
    fourier_weights      its fixed frequencies; None draws them and stores them in config
    attn_norm_num_groups groups in the middle's attention; None: as elsewhere, and no norm there with scale_shift

    The other options are diffusers' too, under its names. Raises ValueError that names an option it does not know.
    With Skip or K blocks the model is of the subclass `NCSNpp` or `KUNet`.
    """

    families = ()  # the subclasses with `stages`, names of block types, that only they know

    def __init__(self, sample_size=None, in_channels=3, out_channels=3, block_out_channels=(64, 128), layers_per_block=2,
                 down_block_types=None, up_block_types=None, attention_head_dim=8, norm_num_groups=32, norm_eps=1e-5,
                 dropout=0.0, num_class_embeds=None, null_class=None, flip_sin_to_cos=True, freq_shift=0,
                 downsample_padding=1, add_attention=True, resnet_time_scale_shift="default", mid_block_scale_factor=1.0,
                 center_input_sample=False, time_embedding_type="positional", time_embedding_dim=None,
                 mid_block_type="UNetMidBlock2D", downsample_type="conv", upsample_type="conv", act_fn="silu",
                 attn_norm_num_groups=None, class_embed_type=None, num_train_timesteps=None, fourier_weights=None,
                 rng=None):  # fmt: skip
        levels, block_out_channels = len(block_out_channels), tuple(block_out_channels)
        down_block_types = tuple(down_block_types or ("DownBlock2D",) * (levels - 1) + ("AttnDownBlock2D",))
        up_block_types = tuple(up_block_types or ("AttnUpBlock2D",) + ("UpBlock2D",) * (levels - 1))
        self.config = dict(sample_size=sample_size, in_channels=in_channels, out_channels=out_channels,
                           block_out_channels=block_out_channels, layers_per_block=layers_per_block,
                           down_block_types=down_block_types, up_block_types=up_block_types,
                           attention_head_dim=attention_head_dim, norm_num_groups=norm_num_groups, norm_eps=norm_eps,
                           dropout=dropout, num_class_embeds=num_class_embeds, null_class=null_class,
                           flip_sin_to_cos=flip_sin_to_cos, freq_shift=freq_shift, downsample_padding=downsample_padding,
                           add_attention=add_attention, resnet_time_scale_shift=resnet_time_scale_shift,
                           mid_block_scale_factor=mid_block_scale_factor, center_input_sample=center_input_sample,
                           time_embedding_type=time_embedding_type, time_embedding_dim=time_embedding_dim,
                           mid_block_type=mid_block_type, downsample_type=downsample_type, upsample_type=upsample_type,
                           act_fn=act_fn, attn_norm_num_groups=attn_norm_num_groups, class_embed_type=class_embed_type,
                           num_train_timesteps=num_train_timesteps, fourier_weights=fourier_weights)  # fmt: skip
        self.check()
        rng = as_rng(rng)
        first, temb_channels = block_out_channels[0], time_embedding_dim or 4 * block_out_channels[0]
        options = dict(temb_channels=temb_channels, groups=norm_num_groups, eps=norm_eps, dropout=dropout, act=act_fn,
                       scale_shift=resnet_time_scale_shift == "scale_shift", rescale=1.0, rng=rng)  # fmt: skip
        self.conv_in = Conv2d(in_channels, first, 3, padding=1, rng=rng)
        self.time_proj, features = time_features(self.config, first, rng)
        if time_embedding_type == "fourier":
            self.config["fourier_weights"] = self.time_proj.weights.tolist()
        self.time_embedding = TimestepEmbedding(features, temb_channels, rng)
        self.class_embedding = None
        if class_embed_type == "timestep":
            self.class_embedding = TimestepEmbedding(features, temb_channels, rng)
        elif class_embed_type is None and num_class_embeds:
            self.class_embedding = ClassEmbedding(num_class_embeds, temb_channels, rng)
        self.down_blocks, self.up_blocks, skips, before = [], [], [first], first
        for level, (kind, channels) in enumerate(zip(down_block_types, block_out_channels, strict=True)):
            self.down_blocks.append(self.down_stage(kind, before, channels, level == levels - 1, options))
            skips += [channels] * self.down_blocks[-1].keeps
            before = channels
        self.mid_block = self.middle(before, options) if mid_block_type else NoMiddle()
        for level, (kind, channels) in enumerate(zip(up_block_types, block_out_channels[::-1], strict=True)):
            self.up_blocks.append(self.up_stage(kind, before, channels, level == levels - 1, skips, options))
            before = channels
        self.conv_norm_out = GroupNorm(norm_num_groups or min(first // 4, 32), first, norm_eps)
        self.conv_out = Conv2d(first, out_channels, 3, padding=1, rng=rng)

    @functools.wraps(__init__, assigned=())  # inspect.signature(UNet) shows the options
    def __new__(cls, *args, **options):
        """UNet(...) with another family's blocks builds that family's class, as pathlib.Path(...) builds a PosixPath."""
        named = [kind for value in (*args, *options.values()) if isinstance(value, (list, tuple)) for kind in value]
        return super().__new__(next((family for family in cls.families if any(k in family.stages for k in named)), cls))

    def check(self):
        """Raises ValueError that names an option that does not fit the others."""
        options_of.check(self.config)

    def down_stage(self, kind, before, channels, last, options):
        """The stage of one resolution on the way down, from `before` to `channels`; `last`, the coarsest, does not halve."""
        halve = {"ResnetDownsampleBlock2D": "resnet", "AttnDownBlock2D": self.config["downsample_type"]}.get(kind, "conv")
        return DownBlock2D(before, channels, layers=self.config["layers_per_block"], heads=self.heads(kind, channels),
                           downsample=not last and halve, padding=self.config["downsample_padding"], **options)  # fmt: skip

    def up_stage(self, kind, before, channels, last, skips, options):
        """Likewise on the way up; takes the channels of the images that it will use off `skips`. `last` does not double."""
        taken = [skips.pop() for _ in range(self.config["layers_per_block"] + 1)]
        double = {"ResnetUpsampleBlock2D": "resnet", "AttnUpBlock2D": self.config["upsample_type"]}.get(kind, "conv")
        return UpBlock2D(before, channels, taken, heads=self.heads(kind, channels), upsample=not last and double, **options)

    def heads(self, kind, channels):
        """Heads of the attention in a block of this kind; None for a block without one."""
        features = self.config["attention_head_dim"] or channels
        return channels // features if kind.startswith("Attn") else None

    def middle(self, channels, options):
        """The block at the coarsest resolution."""
        config = self.config
        groups = config["norm_num_groups"] or min(channels // 4, 32)
        in_attention = config["attn_norm_num_groups"] or (None if options["scale_shift"] else groups)
        heads = self.heads("Attn", channels) if config["add_attention"] else None
        options = options | {"groups": groups, "rescale": config["mid_block_scale_factor"]}
        return MidBlock2D(channels, heads=heads, attention_groups=in_attention, **options)

    def forward(self, x, t, cond=None):
        config = self.config
        if x.ndim != 4 or x.shape[3] != config["in_channels"]:
            raise ValueError(f"UNet: x has shape {tuple(x.shape)}, expected (B, H, W, {config['in_channels']})")
        t = batch_of_times(t, x)
        temb, back_temb = self.embed(x, t, cond)  # (B, D)
        pads, centred = self.pads(x), config["center_input_sample"]
        y, back_trunk = self.trunk(pad_image(2 * x - 1 if centred else x, pads), temb)
        y = crop_image(y, pads)
        scale = 1.0 / cast(t, x.dtype)[:, None, None, None] if config["time_embedding_type"] == "fourier" else None

        def back(dy):
            dimage, dtemb = back_trunk(pad_image(dy if scale is None else dy * scale, pads))
            dx = crop_image(dimage, pads) * (2 if centred else 1)
            dcond = back_temb(dtemb)
            return dx if dcond is None else (dx, dcond)

        return y if scale is None else y * scale, back

    def trunk(self, image, temb):
        """image (B, H, W, in_channels), temb (B, D)   ->   y (B, H, W, out_channels).   back(dy) -> (dimage, dtemb)"""
        h, back_in = self.conv_in(image)
        skips = [h]
        h, back_down = down(self.down_blocks, h, skips, temb)
        h, back_mid = self.mid_block(h, temb)
        h, back_up = up(self.up_blocks, h, skips, temb)
        h, back_norm = self.conv_norm_out(h, silu=True)
        y, back_out = self.conv_out(h)

        def back(dy):
            dskips = []
            dh, dtemb = back_up(back_norm(back_out(dy)), dskips, 0)
            dh, dtemb_mid = back_mid(dh)
            dh, dtemb = back_down(dh, dskips, dtemb + dtemb_mid)
            return back_in(dh + dskips.pop()), dtemb

        return y, back

    def embed(self, x, t, cond):
        """The embedding of t and the class for every block.   -> temb (B, D), back(dtemb) -> dcond or None"""
        kind, classes = self.config["class_embed_type"], self.config["num_class_embeds"]
        if cond is not None and kind is None and not classes:
            raise ValueError("UNet: got cond, but this model is unconditional (num_class_embeds and class_embed_type are None)")
        if cond is None and kind is not None:
            raise ValueError(f"UNet: this model is conditional (class_embed_type={kind!r}): pass cond")
        features = functools.partial(self.time_proj, dtype=x.dtype)
        temb, back_time = chain([features, self.time_embedding], t)
        added, back_class = 0, lambda dtemb: None
        if kind == "identity":
            added, back_class = cond, lambda dtemb: dtemb
        elif kind == "timestep":  # time_proj is used twice: a learned one gets a second term
            added, back_class = chain([features, self.class_embedding], batch_of_times(cond, x))
        elif self.class_embedding is not None:
            added, back_class = self.class_embedding(cond, x.shape[0])

        def back(dtemb):
            back_time(dtemb)
            dcond = back_class(dtemb)
            return dcond if kind == "identity" else None

        return temb + added, back

    def pads(self, x):
        """How many rows and columns of zeros make every down step halve x exactly.   -> ((top, bottom), (left, right))"""
        multiple = 2 ** (len(self.down_blocks) - 1)
        return tuple((extra // 2, extra - extra // 2) for extra in (-n % multiple for n in x.shape[1:3]))

    def null_cond(self, cond):
        """The class "none" for each of `cond`; None where the model has no such class."""
        null = self.config["null_class"]
        return None if null is None or cond is None else cond * 0 + null
