"""The two models of DALL-E 2: a prior from a text to an image embedding, and a decoder from that embedding to the image.

Ramesh et al. 2022 (arXiv:2204.06125), sections 2.1 and 2.2.
"""

from functools import partial

import numpy as np

from .. import ops
from ..backend import xp_of
from ..nn import BasicTransformerBlock, Layer, LayerNorm, Linear, Param, causal_mask, chain
from ..rng import as_rng
from .conditioning import TimestepEmbedding, batch_of_times
from .text_condition import TextCondition
from .time_features import Sinusoids
from .unet.condition import UNet2DConditionModel
from .unet.text import null_text


class Prior(Layer):
    """Predicts image embeddings from noisy ones, t and a text.

    x (B, features)   t scalar or (B,)   cond TextCondition(context (B, L, context_features), mask or None, labels
    (B, pooled_features))   ->   y (B, features).   back(dy) -> (dx, dcontext, dlabels)

    A causal transformer reads, in this order, the text's tokens, its vector, the time, the noisy vector, and a learned
    token whose output is the prediction. The null condition is a text of zeros.

    features        of an image's vector
    length          L, the tokens of a text
    width, layers, heads   of the transformer
    """

    def __init__(self, features=64, context_features=64, pooled_features=64, length=12, width=96, layers=3, heads=4, rng=None):
        self.config = dict(features=features, context_features=context_features, pooled_features=pooled_features, length=length,
                           width=width, layers=layers, heads=heads)  # fmt: skip
        rng = as_rng(rng)
        self.token_proj, self.text_proj = Linear(context_features, width, rng=rng), Linear(pooled_features, width, rng=rng)
        self.time_proj, self.time_embedding = Sinusoids(width, True, 0), TimestepEmbedding(width, width, rng)
        self.noisy_proj = Linear(features, width, rng=rng)
        self.query = Param(rng.standard_normal((1, 1, width), dtype=np.float32))
        self.places = Param(np.float32(0.1) * rng.standard_normal((1, length + 4, width), dtype=np.float32))
        self.layers = [BasicTransformerBlock(width, heads, width // heads, act="gelu", rng=rng) for _ in range(layers)]
        self.norm_out, self.proj_out = LayerNorm(width), Linear(width, features, rng=rng)

    def forward(self, x, t, cond):
        context, mask, vector = TextCondition(*cond)
        xp, (B, L, _) = xp_of(x), context.shape
        if x.ndim != 2 or L != self.config["length"]:
            raise ValueError(f"Prior: got x {tuple(x.shape)} and a text of {L} tokens, expected (B, features) and "
                             f"{self.config['length']} tokens")  # fmt: skip
        tokens, back_tokens = self.token_proj(context)  # (B, L, W)
        text, back_text = self.text_proj(vector)
        time, back_time = self.time_embedding(self.time_proj.predict(batch_of_times(t, x), x.dtype))
        noisy, back_noisy = self.noisy_proj(x)
        query = xp.broadcast_to(self.query.value, (B, 1, self.config["width"]))
        h, back_concat = ops.concat([tokens, text[:, None], time[:, None], noisy[:, None], query], axis=1)  # (B, L + 4, W)
        seen = self.seen(mask, B, L + 4, xp)
        h, back_blocks = chain([partial(block, self_mask=seen) for block in self.layers], h + self.places.value)
        y, back_out = chain([self.norm_out, self.proj_out], h[:, -1])

        def back(dy):
            dh = xp.zeros_like(h)
            dh[:, -1] = back_out(dy)
            dh = back_blocks(dh)
            self.places.grad += dh.sum(axis=0, keepdims=True)
            dtokens, dtext, dtime, dnoisy, dquery = back_concat(dh)
            self.query.grad += dquery.sum(axis=0, keepdims=True)
            back_time(dtime[:, 0])
            return back_noisy(dnoisy[:, 0]), back_tokens(dtokens), back_text(dtext[:, 0])

        return y, back

    def seen(self, mask, B, N, xp):
        """Each position attends to itself and earlier ones, except masked tokens."""
        causal = causal_mask(N, xp)
        if mask is None:
            return causal
        rest = xp.ones((B, N - mask.shape[1]), bool)
        # a position always attends to itself: a fully masked row has no softmax
        return (causal & xp.concatenate([xp.asarray(mask), rest], axis=1)[:, None, :] | xp.eye(N, dtype=bool))[:, None]

    def null_cond(self, cond):
        """The text of zeros for each of `cond`."""
        return None if cond is None else null_text(cond)


class EmbeddingUNet(Layer):
    """A U-Net conditioned on an embedding: decodes an image embedding into an image.

    x (B, H, W, in_channels)   t scalar or (B,)   cond (B, features)   ->   y (B, H, W, out_channels).   back(dy) -> (dx, dcond)

    The vector enters twice: through an MLP, added to the time embedding, and through a linear map as `tokens` tokens
    for cross-attention. The null condition is a vector of zeros.

    patch      pixels of patch x patch go through the U-Net as one
    options    UNet2DConditionModel's, for the U-Net inside
    """

    def __init__(self, features=64, in_channels=3, out_channels=3, tokens=4, token_features=64, patch=1, rng=None, **options):
        self.config = dict(features=features, in_channels=in_channels, out_channels=out_channels, tokens=tokens,
                           token_features=token_features, patch=patch, **options)  # fmt: skip
        rng = as_rng(rng)
        self.to_tokens = Linear(features, tokens * token_features, rng=rng)
        self.unet = UNet2DConditionModel(
            in_channels=in_channels * patch**2, out_channels=out_channels * patch**2, cross_attention_dim=token_features,
            class_embed_type="projection", projection_class_embeddings_input_dim=features, rng=rng, **options,
        )  # fmt: skip

    def forward(self, x, t, cond):
        patch, shape = self.config["patch"], (len(x), self.config["tokens"], self.config["token_features"])
        if getattr(cond, "ndim", 0) != 2:
            raise ValueError(f"cond: got {getattr(cond, 'shape', type(cond).__name__)}, expected vectors (B, features)")
        h, back_patches = ops.space_to_depth(x, patch)
        tokens, back_tokens = self.to_tokens(cond)
        h, back_unet = self.unet(h, t, TextCondition(tokens.reshape(shape), None, cond))
        y, back_spread = ops.depth_to_space(h, patch)

        def back(dy):
            dh, dtokens, dvector = back_unet(back_spread(dy))
            return back_patches(dh), back_tokens(dtokens.reshape(len(x), -1)) + dvector  # the vector was used twice

        return y, back

    def null_cond(self, cond):
        """A vector of zeros for each of `cond`."""
        return None if cond is None else cond * 0
