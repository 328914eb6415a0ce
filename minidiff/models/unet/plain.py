"""The U-Net that predicts noise: down to coarse images, up again, with skips across and the time in every block.

Ho et al. 2020 (arXiv:2006.11239), appendix B. Structure, option names and parameter names are those of
Hugging Face diffusers' UNet2DModel, so that its checkpoints fit; the layouts are ours (channels last).
"""

from ...nn import Conv2d, GroupNorm, Layer
from ...ops.conv2d import crop_image, pad_image
from ...rng import as_rng
from ..conditioning import ClassEmbedding, TimestepEmbedding, batch_of_times
from ..time_features import time_features
from . import options as options_of
from .blocks import MidBlock2D
from .factory import down_block, head_count, up_block


class UNet(Layer):
    """Images, a time and perhaps a class in; an image of the same size out.

    x (B, H, W, in_channels)   t scalar or (B,)   cond integers (B,) or None   ->   y (B, H, W, out_channels)
    back(dy) -> dx.   Any H and W: an image that the down steps do not divide is padded with zeros, and y cropped.

    sample_size          H (and W) the net is meant for; written down, not enforced
    block_out_channels   channels at each resolution, first to coarsest
    layers_per_block     residual blocks at each resolution (one more on the way up)
    down_block_types     for each resolution one of `options.DOWN`: DownBlock2D, AttnDownBlock2D, ...;
    up_block_types       likewise of `options.UP`, the coarsest first
    attention_head_dim   features of one attention head; None: a single head
    num_class_embeds     how many classes, the null class counted in; None: unconditional
    null_class           the class that stands for "no condition" in classifier-free guidance
    class_embed_type     None: as above; "timestep": cond is one number for each image, taken in as a time is;
                         "identity": cond is a vector (B, time_embedding_dim), added to the time's. back -> (dx, dcond)
    time_embedding_type  "positional", "fourier" (t > 0 is a noise level, and y is divided by it) or "learned"
    fourier_weights      its fixed frequencies; None draws them, and config then holds what was drawn
    attn_norm_num_groups groups in the middle's attention; None: as the rest has, and no norm there with scale_shift

    The other options are diffusers' too, under its names. Raises ValueError that names an option it does not know.
    """

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
        self.config = config = {name: value for name, value in locals().items() if name not in ("self", "rng", "levels")}
        options_of.check(config)
        rng = as_rng(rng)
        first, temb_channels = block_out_channels[0], time_embedding_dim or 4 * block_out_channels[0]
        options = dict(temb_channels=temb_channels, groups=norm_num_groups, eps=norm_eps, dropout=dropout, act=act_fn,
                       scale_shift=resnet_time_scale_shift == "scale_shift", rescale=1.0)  # fmt: skip
        self.conv_in = Conv2d(in_channels, first, 3, padding=1, rng=rng)
        self.time_proj, features = time_features(config, first, rng)
        if time_embedding_type == "fourier":
            config["fourier_weights"] = self.time_proj.weights.tolist()
        self.time_embedding = TimestepEmbedding(features, temb_channels, rng)
        self.class_embedding = None
        if class_embed_type == "timestep":
            self.class_embedding = TimestepEmbedding(features, temb_channels, rng)
        elif class_embed_type is None and num_class_embeds:
            self.class_embedding = ClassEmbedding(num_class_embeds, temb_channels, rng)
        self.down_blocks, self.up_blocks, skips, before = [], [], [first], first
        for level, (kind, channels) in enumerate(zip(down_block_types, block_out_channels, strict=True)):
            block, kept = down_block(kind, before, channels, level == levels - 1, config, rng, options)
            self.down_blocks.append(block)
            skips += kept
            before = channels
        self.mid_block = self.middle(before, rng, options) if mid_block_type else None
        channels_up = block_out_channels[::-1]
        for level, (kind, channels) in enumerate(zip(up_block_types, channels_up, strict=True)):
            following, last = channels_up[min(level + 1, levels - 1)], level == levels - 1
            self.up_blocks.append(up_block(kind, before, channels, following, last, skips, config, rng, options))
            before = channels
        self.conv_norm_out = GroupNorm(norm_num_groups or min(first // 4, 32), first, norm_eps)
        self.conv_out = Conv2d(first, out_channels, 3, padding=1, rng=rng)

    def middle(self, channels, rng, options):
        """The block at the coarsest resolution."""
        config = self.config
        groups = config["norm_num_groups"] or min(channels // 4, 32)
        in_attention = config["attn_norm_num_groups"] or (None if options["scale_shift"] else groups)
        heads = head_count("Attn", channels, config) if config["add_attention"] else None
        options = options | {"groups": groups, "rescale": config["mid_block_scale_factor"]}
        return MidBlock2D(channels, options.pop("temb_channels"), heads, rng, in_attention, **options)

    def forward(self, x, t, cond=None):
        config = self.config
        if x.ndim != 4 or x.shape[3] != config["in_channels"]:
            raise ValueError(f"UNet: x has shape {tuple(x.shape)}, expected (B, H, W, {config['in_channels']})")
        t = batch_of_times(t, x)
        temb, back_temb = self.embed(x, t, cond)  # (B, D)
        pads, centred = self.pads(x), config["center_input_sample"]
        image = pad_image(2 * x - 1 if centred else x, pads)
        h, back_in = self.conv_in(image)
        skips, backs_down, backs_up = [h], [], []
        for block in self.down_blocks:
            if carries_image(block):
                (h, kept, image), back_block = block(h, temb, image)
            else:
                (h, kept), back_block = block(h, temb)
            skips += kept
            backs_down.append((back_block, len(kept)))
        h, back_mid = (h, None) if self.mid_block is None else self.mid_block(h, temb)
        image = None
        for block in self.up_blocks:
            taken = [skips.pop() for _ in block.resnets][::-1]
            if carries_image(block):
                (h, image), back_block = block(h, taken, temb, image)
            else:
                h, back_block = block(h, taken, temb)
            backs_up.append(back_block)
        h, back_norm = self.conv_norm_out(h, silu=True)
        h, back_out = self.conv_out(h)
        y = crop_image(h if image is None else h + image, pads)
        scale = 1.0 / t.astype(x.dtype)[:, None, None, None] if config["time_embedding_type"] == "fourier" else None
        unused = len(skips)  # K blocks do not look at the first image

        def back(dy):
            dy = pad_image(dy if scale is None else dy * scale, pads)
            dh, dimage, dskips, dtemb = back_norm(back_out(dy)), dy, [0] * unused, 0
            for block, back_block in zip(reversed(self.up_blocks), reversed(backs_up), strict=True):
                if carries_image(block):
                    dh, dtaken, dtemb_block, dimage = back_block(dh, dimage)
                else:
                    dh, dtaken, dtemb_block = back_block(dh)
                dskips += dtaken  # the last block took the first skips, so this is the order in which they were made
                dtemb = dtemb + dtemb_block
            if back_mid:
                dh, dtemb_block = back_mid(dh)
                dtemb = dtemb + dtemb_block
            dimage = 0
            for block, (back_block, count) in zip(reversed(self.down_blocks), reversed(backs_down), strict=True):
                if carries_image(block):
                    dh, dtemb_block, dimage = back_block(dh, dskips[-count:], dimage)
                else:
                    dh, dtemb_block = back_block(dh, dskips[-count:])
                del dskips[-count:]
                dtemb = dtemb + dtemb_block
            dx = crop_image(back_in(dh + dskips[0]) + dimage, pads) * (2 if centred else 1)
            dcond = back_temb(dtemb)
            return dx if dcond is None else (dx, dcond)

        return y if scale is None else y * scale, back

    def embed(self, x, t, cond):
        """The vector that tells every block the time and the class.   -> temb (B, D), back(dtemb) -> dcond or None"""
        kind, classes = self.config["class_embed_type"], self.config["num_class_embeds"]
        if cond is not None and kind is None and not classes:
            raise ValueError("UNet: got cond, but this net is unconditional (num_class_embeds and class_embed_type are None)")
        if cond is None and kind is not None:
            raise ValueError(f"UNet: this net is conditional (class_embed_type={kind!r}): pass cond")
        features, back_features = self.time_proj(t, x.dtype)
        temb, back_time = self.time_embedding(features)
        added, back_class, back_numbers = 0, lambda dtemb: None, None
        if kind == "identity":
            added, back_class = cond, lambda dtemb: dtemb
        elif kind == "timestep":
            numbers, back_numbers = self.time_proj(batch_of_times(cond, x), x.dtype)
            added, back_class = self.class_embedding(numbers)
        elif self.class_embedding is not None:
            added, back_class = self.class_embedding(cond, x.shape[0])

        def back(dtemb):
            back_features(back_time(dtemb))
            dcond = back_class(dtemb)
            if back_numbers:
                back_numbers(dcond)  # time_proj was used twice: a learned one has a second term
            return dcond if kind == "identity" else None

        return temb + added, back

    def pads(self, x):
        """How many rows and columns of zeros make every down step halve x exactly.   -> ((top, bottom), (left, right))"""
        multiple = 2 ** (len(self.down_blocks) - 1)
        return tuple((extra // 2, extra - extra // 2) for extra in (-n % multiple for n in x.shape[1:3]))

    def null_cond(self, cond):
        """The class "none" for each of `cond`; None where the net has no such class."""
        null = self.config["null_class"]
        return None if null is None or cond is None else cond * 0 + null


def carries_image(block):
    """Whether this block takes the picture itself beside the features, as NCSN++'s do."""
    return getattr(block, "has_image", False)
