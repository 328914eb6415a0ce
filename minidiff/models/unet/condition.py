"""The U-Net of Stable Diffusion: cross-attention from the image or latent to a text at every resolution.

Rombach et al. 2022 (arXiv:2112.10752). Structure, option names and parameter names are those of diffusers'
UNet2DConditionModel; arrays are channels last here.
"""

from ... import ops
from ...backend import xp_of
from ...nn import Conv2d, GroupNorm, Linear, Transformer2DModel, chain
from ...ops.named import activation
from ...rng import as_rng
from ..conditioning import ClassEmbedding, TimestepEmbedding, batch_of_times
from ..resnet import norm_act
from ..text_condition import TextCondition, TextModel
from ..time_features import Sinusoids
from . import condition_options as options_of
from .blocks import DownBlock2D, MidBlock2D, NoMiddle, OneResnet, UpBlock2D, added
from .down_up import down, up


class UNet2DConditionModel(TextModel):
    """Predicts an image of x's size from a noisy image, t and a text.

    x (B, H, W, in_channels)   t scalar or (B,)   cond: context (B, M, E), or a TextCondition or tuple   ->   y (B, H, W, O)
    back(dy) -> (dx, dcontext), and dlabels as a third where the labels are vectors.   Any H and W.

    attention_head_dim             the *number* of heads, a common misnomer; one for all resolutions, or one each
    cross_attention_dim            E; one for all, or one each
    layers_per_block               one for all, or one each; transformer_layers_per_block likewise
    class_embed_type               None, "timestep", "identity", "projection" or "simple_projection"
    upcast_attention               changes nothing: everything here is computed in float32
    null_context                   an attribute: the encoded empty text (1, M, E), the null condition of guidance and training

    The other options are diffusers', under its names. Raises ValueError that names an option it does not know.
    """

    def __init__(self, sample_size=None, in_channels=4, out_channels=4, center_input_sample=False, flip_sin_to_cos=True,
                 freq_shift=0, down_block_types=("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
                 mid_block_type="UNetMidBlock2DCrossAttn", up_block_types=("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3,
                 only_cross_attention=False, block_out_channels=(320, 640, 1280, 1280), layers_per_block=2,
                 downsample_padding=1, mid_block_scale_factor=1.0, dropout=0.0, act_fn="silu", norm_num_groups=32,
                 norm_eps=1e-5, cross_attention_dim=1280, transformer_layers_per_block=1,
                 reverse_transformer_layers_per_block=None, encoder_hid_dim=None, encoder_hid_dim_type=None,
                 attention_head_dim=8, use_linear_projection=False, class_embed_type=None, num_class_embeds=None,
                 upcast_attention=False, resnet_time_scale_shift="default", resnet_skip_time_act=False,
                 resnet_out_scale_factor=1.0, time_embedding_dim=None, time_embedding_act_fn=None, conv_in_kernel=3,
                 conv_out_kernel=3, projection_class_embeddings_input_dim=None, class_embeddings_concat=False,
                 rng=None):  # fmt: skip
        self.config = dict(
            sample_size=sample_size, in_channels=in_channels, out_channels=out_channels,
            center_input_sample=center_input_sample, flip_sin_to_cos=flip_sin_to_cos, freq_shift=freq_shift,
            down_block_types=down_block_types, mid_block_type=mid_block_type, up_block_types=up_block_types,
            only_cross_attention=only_cross_attention, block_out_channels=block_out_channels, layers_per_block=layers_per_block,
            downsample_padding=downsample_padding, mid_block_scale_factor=mid_block_scale_factor, dropout=dropout,
            act_fn=act_fn, norm_num_groups=norm_num_groups, norm_eps=norm_eps, cross_attention_dim=cross_attention_dim,
            transformer_layers_per_block=transformer_layers_per_block,
            reverse_transformer_layers_per_block=reverse_transformer_layers_per_block, encoder_hid_dim=encoder_hid_dim,
            encoder_hid_dim_type=encoder_hid_dim_type, attention_head_dim=attention_head_dim,
            use_linear_projection=use_linear_projection, class_embed_type=class_embed_type, num_class_embeds=num_class_embeds,
            upcast_attention=upcast_attention, resnet_time_scale_shift=resnet_time_scale_shift,
            resnet_skip_time_act=resnet_skip_time_act, resnet_out_scale_factor=resnet_out_scale_factor,
            time_embedding_dim=time_embedding_dim, time_embedding_act_fn=time_embedding_act_fn, conv_in_kernel=conv_in_kernel,
            conv_out_kernel=conv_out_kernel, projection_class_embeddings_input_dim=projection_class_embeddings_input_dim,
            class_embeddings_concat=class_embeddings_concat,
        )  # fmt: skip
        levels = options_of.check(self.config)  # one dict of options for each resolution
        rng = as_rng(rng)
        first, temb = block_out_channels[0], time_embedding_dim or 4 * block_out_channels[0]
        self.conv_in = Conv2d(in_channels, first, conv_in_kernel, padding=(conv_in_kernel - 1) // 2, rng=rng)
        self.time_proj = Sinusoids(first, flip_sin_to_cos, freq_shift)
        self.time_embedding = TimestepEmbedding(first, temb, rng, act_fn)
        self.encoder_hid_proj = Linear(encoder_hid_dim, levels[0]["context"], rng=rng) if encoder_hid_dim else None
        self.class_embedding = self.embedding_of_classes(first, temb, rng)
        self.time_embed_act = activation(time_embedding_act_fn) if time_embedding_act_fn else None
        temb *= 2 if class_embeddings_concat else 1
        shared = dict(groups=norm_num_groups, eps=norm_eps, dropout=dropout, act=act_fn, rng=rng,
                      scale_shift=resnet_time_scale_shift == "scale_shift")  # fmt: skip
        self.down_blocks, self.up_blocks, skips, before = [], [], [first], first
        for level, (kind, own) in enumerate(zip(down_block_types, levels, strict=True)):
            last, channels = level == len(levels) - 1, own["channels"]
            resize, extra = self.kind_of(kind, own, own["transformers"], last, rng)
            block = DownBlock2D(before, channels, temb, own["layers"], downsample=resize, padding=downsample_padding,
                                **shared | extra)  # fmt: skip
            self.down_blocks.append(block)
            skips += [channels] * block.keeps
            before = channels
        self.mid_block = self.middle(before, temb, levels[-1], shared) if mid_block_type else NoMiddle()
        for level, (kind, own) in enumerate(zip(up_block_types, reversed(levels), strict=True)):
            last, channels = level == len(levels) - 1, own["channels"]
            resize, extra = self.kind_of(kind, own, own["transformers_up"], last, rng)
            taken = [skips.pop() for _ in range(own["layers"] + 1)]
            self.up_blocks.append(UpBlock2D(before, channels, taken, temb, upsample=resize, **shared | extra))
            before = channels
        self.conv_norm_out = GroupNorm(norm_num_groups, first, norm_eps)
        self.conv_act = activation(act_fn)
        self.conv_out = Conv2d(first, out_channels, conv_out_kernel, padding=(conv_out_kernel - 1) // 2, rng=rng)

    def kind_of(self, kind, own, transformers, last, rng):
        """Parse a block's name.   -> (how it changes the size, its options)"""
        resnet, config, extra = kind.startswith("Resnet"), self.config, {}
        if kind.startswith("CrossAttn"):
            extra["attend"] = lambda i: self.transformer(own, transformers[i], own["only_cross"], rng)
        elif kind.startswith("Attn"):
            extra["heads"] = max(1, own["channels"] // own["heads"])  # here it is the features of a head, as its name says
        elif resnet:
            extra = {"time_act": not config["resnet_skip_time_act"], "rescale": config["resnet_out_scale_factor"]}
        return False if last else "resnet" if resnet else True, extra

    def transformer(self, own, layers, only_cross, rng):
        """The transformer behind a residual block."""
        channels, heads = own["channels"], own["heads"]
        return Transformer2DModel(channels, heads, channels // heads, layers, own["context"], self.config["norm_num_groups"],
                                  self.config["use_linear_projection"], only_cross_attention=only_cross, rng=rng)  # fmt: skip

    def middle(self, channels, temb, own, shared):
        """The block at the coarsest resolution."""
        shared = shared | {"rescale": self.config["mid_block_scale_factor"]}
        if self.config["mid_block_type"] == "UNetMidBlock2D":
            return OneResnet(channels, temb, **shared)
        # the middle never has cross-attention alone
        attend = lambda i: self.transformer(own, own["transformers"][-1], False, shared["rng"])  # noqa: E731
        return MidBlock2D(channels, temb, attend=attend, **shared)

    def embedding_of_classes(self, first, temb, rng):
        """The layer that takes `labels`; None where they are used unchanged, or not at all."""
        config, kind = self.config, self.config["class_embed_type"]
        wide = config["projection_class_embeddings_input_dim"]
        if kind is None and config["num_class_embeds"]:
            return ClassEmbedding(config["num_class_embeds"], temb, rng)
        if kind == "simple_projection":
            return Linear(wide, temb, rng=rng)
        if kind == "timestep":
            return TimestepEmbedding(first, temb, rng, config["act_fn"])
        return TimestepEmbedding(wide, temb, rng) if kind == "projection" else None

    def forward(self, x, t, cond):
        config = self.config
        context, mask, labels = TextCondition.of(cond)
        options_of.check_inputs(config, x, context, labels)
        mask = None if mask is None else xp_of(x).asarray(mask)
        temb, back_temb = self.embed(x, batch_of_times(t, x), labels)
        context, back_hid = chain([self.encoder_hid_proj], context)
        h, back_in = self.conv_in(2 * x - 1 if config["center_input_sample"] else x)
        skips = [h]
        h, back_down = down(self.down_blocks, h, skips, temb, context, mask=mask)
        h, back_mid = self.mid_block(h, temb, context, mask=mask)
        h, back_up = up(self.up_blocks, h, skips, temb, context, mask=mask)
        h, back_norm = norm_act(self.conv_norm_out, self.conv_act, h)
        y, back_out = self.conv_out(h)

        def back(dy):
            dskips = []
            dh, *dbeside = back_up(back_norm(back_out(dy)), dskips, 0, 0 * context)
            dh, *terms = back_mid(dh)
            dh, dtemb, dcontext = back_down(dh, dskips, *added(dbeside, terms))
            dx = back_in(dh + dskips.pop()) * (2 if config["center_input_sample"] else 1)
            dlabels = back_temb(dtemb)
            return (dx, back_hid(dcontext)) if dlabels is None else (dx, back_hid(dcontext), dlabels)

        return y, back

    def embed(self, x, t, labels):
        """The embedding of t and the labels for every block.   -> temb (B, D), back(dtemb) -> dlabels or None"""
        kind, joined = self.config["class_embed_type"], self.config["class_embeddings_concat"]
        h, back_time = self.time_embedding(self.time_proj.predict(t, x.dtype))
        back_class, back_join = lambda dclass: None, lambda dh: (dh, None)
        if kind is not None or self.class_embedding is not None:
            if kind == "timestep":
                labels = self.time_proj.predict(batch_of_times(labels, x), x.dtype)
            extra, back_class = (labels, lambda d: d) if self.class_embedding is None else self.class_embedding(labels)
            h, back_join = ops.concat([h, extra]) if joined else (h + extra, lambda dh: (dh, dh))
        h, back_act = chain([self.time_embed_act], h)

        def back(dtemb):
            dtime, dclass = back_join(back_act(dtemb))
            back_time(dtime)
            dlabels = back_class(dclass)
            return dlabels if kind in ("identity", "projection", "simple_projection") else None

        return h, back
