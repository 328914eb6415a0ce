"""A super-resolution U-Net, the second stage of a cascade.

Ho et al. 2021 (arXiv:2106.15282); conditioned on a text as in Imagen (arXiv:2205.11487), section 2.4.
"""

from typing import Any, NamedTuple

from ... import ops
from ...backend import xp_of
from ...nn import Layer
from ..text_condition import TextCondition
from .condition import UNet2DConditionModel


class LowResolution(NamedTuple):
    """The conditioning of such a model.

    low      (B, h, w, C): the small image, with the noise of step `level` in it
    level    (B,): that step, which the model gets through a separate embedding
    context  (B, L, E): an encoded text
    mask     bool (B, L): which of its tokens to attend to; None: all
    """

    low: Any
    level: Any
    context: Any
    mask: Any = None


class SuperResolutionUNet(Layer):
    """Predicts an image of x's size from a noisy image, t, a small image and a text.

    x (B, H, W, in_channels)   t scalar or (B,)   cond LowResolution   ->   y (B, H, W, out_channels)
    back(dy) -> (dx, dlow, dcontext).   H and W are multiples of the small image's: it is enlarged and concatenated to x.

    low_channels   channels of the small image
    patch          pixels of patch x patch go through the U-Net as one
    options        UNet2DConditionModel's, for the U-Net inside
    The null condition is a text of zeros; the small image stays.
    """

    def __init__(self, in_channels=3, out_channels=3, low_channels=3, context_features=64, patch=1, rng=None, **options):
        self.config = dict(in_channels=in_channels, out_channels=out_channels, low_channels=low_channels,
                           context_features=context_features, patch=patch, **options)  # fmt: skip
        self.unet = UNet2DConditionModel(
            in_channels=(in_channels + low_channels) * patch**2, out_channels=out_channels * patch**2,
            cross_attention_dim=context_features, class_embed_type="timestep", rng=rng, **options,
        )  # fmt: skip

    def forward(self, x, t, cond):
        low, level, context, mask = LowResolution(*cond)
        factor, patch = x.shape[1] // low.shape[1], self.config["patch"]
        if (low.shape[1] * factor, low.shape[2] * factor) != x.shape[1:3]:
            raise ValueError(
                f"low: got {tuple(low.shape)}, expected a height and width of which x {tuple(x.shape)} has multiples"
            )
        wide, back_up = ops.upsample_nearest(low, factor)
        h, back_concat = ops.concat([x, wide])
        h, back_patches = ops.space_to_depth(h, patch)
        h, back_unet = self.unet(h, t, TextCondition(context, mask, xp_of(x).asarray(level)))
        y, back_spread = ops.depth_to_space(h, patch)

        def back(dy):
            dh, dcontext = back_unet(back_spread(dy))
            dx, dwide = back_concat(back_patches(dh))
            return dx, back_up(dwide), dcontext

        return y, back

    def null_cond(self, cond):
        """The same small images with a text of zeros."""
        if cond is None:
            return None
        mask = None if cond.mask is None else cond.mask | True
        return LowResolution(cond.low, cond.level, cond.context * 0, mask)
