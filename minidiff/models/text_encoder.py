"""A small text encoder, of the two kinds that text-to-image models use.

    (features, pooled), back = encoder(ids)

causal=True    as CLIP's: a token attends to itself and earlier ones, and the state at the end token represents the text.
               Radford et al. 2021 (arXiv:2103.00020), section 2.4. Trained beside an image encoder: `models.CLIP`.
causal=False   as T5's and BERT's: every token attends to every other, and the mean over the tokens represents the text.
               Devlin et al. 2018 (arXiv:1810.04805). Trained on text alone: `models.MaskedLanguageModel`.
"""

from functools import partial

import numpy as np

from ..backend import xp_of
from ..nn import BasicTransformerBlock, Embedding, Layer, LayerNorm, Linear, causal_mask, chain
from ..rng import as_rng


class TextEncoder(Layer):
    """ids (B, N) integers   ->   features (B, N, D) of each token, pooled (B, D).   back(dfeatures, dpooled) -> None

    Either gradient may be None, which counts as zero. Raises ValueError for more tokens than `length`.

    vocab_size, length    how many different tokens there are, and how many a text has at most
    features, layers, heads   D, transformer blocks, and heads in each
    pad_token_id, eos_token_id   the numbers of the padding and of the token that ends a text
    """

    def __init__(self, vocab_size, length, features=64, layers=2, heads=4, causal=True, pad_token_id=0, eos_token_id=2,
                 rng=None):  # fmt: skip
        self.config = dict(vocab_size=vocab_size, length=length, features=features, layers=layers, heads=heads, causal=causal,
                           pad_token_id=pad_token_id, eos_token_id=eos_token_id)  # fmt: skip
        rng = as_rng(rng)
        self.token_embedding, self.position_embedding = Embedding(vocab_size, features, rng), Embedding(length, features, rng)
        for table in (self.token_embedding, self.position_embedding):  # so small that a block's output has a similar size
            table.weight.value = table.weight.value * np.float32(features**-0.5)
        self.layers = [BasicTransformerBlock(features, heads, features // heads, act="gelu", rng=rng) for _ in range(layers)]
        self.final_layer_norm = LayerNorm(features)

    def forward(self, ids):
        if ids.ndim != 2 or ids.shape[1] > self.config["length"]:
            raise ValueError(f"TextEncoder: ids has shape {tuple(ids.shape)}, expected (B, N), N <= {self.config['length']}")
        xp = xp_of(self.final_layer_norm.weight.value)
        ids = xp.asarray(ids)
        tokens, back_tokens = self.token_embedding(ids)
        places, back_places = self.position_embedding(xp.arange(ids.shape[1]))
        seen = self.seen(ids, xp)
        blocks = [partial(block, self_mask=seen) for block in self.layers]
        features, back_blocks = chain([*blocks, self.final_layer_norm], tokens + places)
        share = self.shares(ids, xp, features.dtype)[..., None]  # (B, N, 1)

        def back(dfeatures=None, dpooled=None):
            dh = 0.0 if dfeatures is None else dfeatures
            dh = dh if dpooled is None else dh + share * dpooled[:, None, :]  # the features were used twice
            dh = back_blocks(dh)
            back_tokens(dh)
            back_places(dh.sum(axis=0))  # positions are shared by all texts

        return (features, (features * share).sum(axis=1)), back

    def words(self, ids):
        """Token and position embeddings, before any attention. Nothing is saved.   ids (B, N) -> (B, N, D)

        The embeddings, each of mean 0 and variance 1. They represent "red triangle" by its two words alone, so a model that
        reads them knows both embeddings of a held-out pair.
        """
        xp = xp_of(self.token_embedding.weight.value)
        h = self.token_embedding.weight.value[xp.asarray(ids)] + self.position_embedding.weight.value[: ids.shape[1]]
        h = h - h.mean(axis=-1, keepdims=True)
        return h / xp.sqrt((h * h).mean(axis=-1, keepdims=True) + 1e-5)

    def seen(self, ids, xp):
        """Which tokens each token may attend to, broadcastable to (B, heads, N, N)."""
        if self.config["causal"]:  # padding comes last, so no word attends to it
            return causal_mask(ids.shape[1], xp)
        return (ids != self.config["pad_token_id"])[:, None, None, :]

    def shares(self, ids, xp, dtype):
        """How much of each token's features goes into `pooled`: (B, N), each row sums to 1."""
        if self.config["causal"]:
            end = (ids == self.config["eos_token_id"]).argmax(axis=1)
            return (xp.arange(ids.shape[1])[None, :] == end[:, None]).astype(dtype)
        words = (ids != self.config["pad_token_id"]).astype(dtype)
        return words / words.sum(axis=1, keepdims=True)


class MaskedLanguageModel(Layer):
    """The encoder and a linear map to the vocabulary, to predict masked words.   ids (B, N)   ->   logits (B, N, vocab_size)

    Trained with `training.MaskedWordLoss`; afterwards only `encoder` is used.
    """

    def __init__(self, encoder, rng=None):
        self.encoder = encoder
        self.head = Linear(encoder.config["features"], encoder.config["vocab_size"], rng=rng)

    def forward(self, ids):
        (features, _), back_encoder = self.encoder(ids)
        logits, back_head = self.head(features)

        def back(dlogits):
            back_encoder(back_head(dlogits))

        return logits, back
