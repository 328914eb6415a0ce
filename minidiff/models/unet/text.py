"""One U-Net, three ways to condition it on a text: by adding, by concatenating, by cross-attention."""

import numpy as np

from ... import ops
from ...backend import xp_of
from ...nn import Layer, Linear, Param
from ...rng import as_rng
from ..text_condition import TextCondition
from .condition import UNet2DConditionModel

CONDITIONINGS = ("add", "concat", "cross")  # the three ways, to be compared
WAYS = (*CONDITIONINGS, "both")


class TextUNet(Layer):
    """Predicts an image of x's size from a noisy image, t and a text.

    x (B, H, W, in_channels)   t scalar or (B,)   cond TextCondition(context (B, L, context_features), mask bool (B, L) or
    None, labels (B, pooled_features))   ->   y (B, H, W, out_channels).   back(dy) -> (dx, dcontext, dlabels)

    conditioning   "add": the text's vector (`labels`), through an MLP, is added to the time embedding. Dhariwal and Nichol 2021
                   (arXiv:2105.05233) condition on the class so
                   "concat": the vector, through a linear map, becomes `maps` further channels of every pixel.
                   The first layer then sees it where the noisy image is; Saharia et al. 2021 (arXiv:2104.07636)
                   condition on an image so
                   "cross": cross-attention to the tokens (`context`). Rombach et al. 2022 (arXiv:2112.10752)
                   "both": "cross" and "add". Saharia et al. 2022 (arXiv:2205.11487), section 2.5
    patch          pixels of patch x patch go through the U-Net as one: 1 is the plain U-Net
    options        UNet2DConditionModel's, for the U-Net inside

    With "add" and "concat" the transformers attend to one learned token in place of the text, so the models differ only in
    how the text enters. The null condition is a text of zeros.
    """

    def __init__(self, conditioning="cross", in_channels=3, out_channels=3, context_features=64, pooled_features=64, patch=1,
                 maps=8, rng=None, **options):  # fmt: skip
        if conditioning not in WAYS:
            raise ValueError(f"conditioning: got {conditioning!r}, expected one of {', '.join(WAYS)}")
        self.config = dict(conditioning=conditioning, in_channels=in_channels, out_channels=out_channels,
                           context_features=context_features, pooled_features=pooled_features, patch=patch, maps=maps,
                           **options)  # fmt: skip
        rng = as_rng(rng)
        self.to_maps = self.token = None
        inside = in_channels * patch**2
        if conditioning == "concat":
            self.to_maps = Linear(pooled_features, maps, rng=rng)
            inside += maps
        if conditioning in ("add", "both"):
            options = options | {"class_embed_type": "projection", "projection_class_embeddings_input_dim": pooled_features}
        if conditioning in ("add", "concat"):
            self.token = Param(rng.standard_normal((1, 1, context_features), dtype=np.float32))
        self.unet = UNet2DConditionModel(in_channels=inside, out_channels=out_channels * patch**2,
                                         cross_attention_dim=context_features, rng=rng, **options)  # fmt: skip

    def forward(self, x, t, cond):
        if not isinstance(cond, tuple) or len(cond) != 3 or cond[2] is None:
            raise ValueError(
                "cond: expected TextCondition(context (B, L, E), mask, labels (B, P)), the text's tokens and vector"
            )
        context, mask, vector = cond
        kind, patch, B = self.config["conditioning"], self.config["patch"], len(x)
        h, back_patches = ops.space_to_depth(x, patch)
        seen, seen_mask, back_maps = context, mask, None
        if self.token is not None:
            seen, seen_mask = xp_of(x).broadcast_to(self.token.value, (B, 1, context.shape[2])), None
        if self.to_maps is not None:
            row, back_maps = self.to_maps(vector)  # (B, maps)
            wide = xp_of(x).broadcast_to(row[:, None, None, :], (*h.shape[:3], row.shape[1]))
            h, back_concat = ops.concat([h, wide])
        h, back_unet = self.unet(h, t, TextCondition(seen, seen_mask, vector if kind in ("add", "both") else None))
        y, back_spread = ops.depth_to_space(h, patch)

        def back(dy):
            dh, dseen, *dvector = back_unet(back_spread(dy))
            dvector = dvector[0] if dvector else vector * 0
            if back_maps:
                dh, dwide = back_concat(dh)
                dvector = back_maps(dwide.sum(axis=(1, 2)))
            if self.token is None:
                return back_patches(dh), dseen, dvector
            self.token.grad += dseen.sum(axis=0, keepdims=True)  # one token for the whole batch
            return back_patches(dh), context * 0, dvector

        return y, back

    def null_cond(self, cond):
        """An unmasked text of zeros for each of `cond`."""
        return None if cond is None else null_text(cond)


def null_text(cond):
    """A TextCondition of zeros of the shapes of this one."""
    context, mask, vector = TextCondition(*cond)
    return TextCondition(context * 0, None if mask is None else mask | True, None if vector is None else vector * 0)
