"""The encoder of T5, the text encoder of Imagen.

Raffel et al. 2020 (arXiv:1910.10683), section 2.1: token positions enter as a learned bias on the attention scores, norms
have no mean and no shift, attention scores are not scaled, linear maps have no bias. Option names are those of transformers'
T5EncoderModel; parameter names those of its files.
"""

import functools
import math

import numpy as np

from .. import ops
from ..backend import Constant, xp_of
from ..nn import Dropout, Embedding, Layer, Linear, RMSNorm, chain
from ..ops.named import activation
from ..rng import as_rng


class T5EncoderModel(Layer):
    """ids (B, N) integers   ->   hidden states (B, N, d_model).   back(dy) -> None: ids have no gradient

    mask   bool (B, N), False on padding; None: all are attended to
    Raises ValueError that names an option it does not know.
    """

    def __init__(self, vocab_size=32128, d_model=512, d_kv=64, d_ff=2048, num_layers=6, num_heads=8,
                 relative_attention_num_buckets=32, relative_attention_max_distance=128, dropout_rate=0.1,
                 layer_norm_epsilon=1e-6, feed_forward_proj="relu", pad_token_id=0, eos_token_id=1, rng=None):  # fmt: skip
        self.config = dict(vocab_size=vocab_size, d_model=d_model, d_kv=d_kv, d_ff=d_ff, num_layers=num_layers,
                           num_heads=num_heads, relative_attention_num_buckets=relative_attention_num_buckets,
                           relative_attention_max_distance=relative_attention_max_distance, dropout_rate=dropout_rate,
                           layer_norm_epsilon=layer_norm_epsilon, feed_forward_proj=feed_forward_proj,
                           pad_token_id=pad_token_id, eos_token_id=eos_token_id)  # fmt: skip
        rng = as_rng(rng)
        self.shared = Embedding(vocab_size, d_model, rng)
        self.encoder = T5Stack(self.config, rng)

    def forward(self, ids, mask=None):
        if ids.ndim != 2:
            raise ValueError(f"T5EncoderModel: ids has shape {tuple(ids.shape)}, expected (B, N)")
        xp = xp_of(self.shared.weight.value)
        mask = None if mask is None else xp.asarray(mask)[:, None, None, :]
        return chain([self.shared, functools.partial(self.encoder, mask=mask)], xp.asarray(ids))


class T5Stack(Layer):
    """Dropout, blocks that share one position bias, a last norm, dropout.   x (B, N, D)   ->   y"""

    def __init__(self, config, rng):
        self.block = [{"layer": [T5SelfAttention(config, i == 0, rng), T5FeedForward(config, rng)]}
                      for i in range(config["num_layers"])]  # fmt: skip
        self.final_layer_norm = RMSNorm(config["d_model"], config["layer_norm_epsilon"])
        self.dropout = Dropout(config["dropout_rate"])

    def forward(self, x, mask=None):
        bias, back_bias = self.block[0]["layer"][0].SelfAttention.place_bias(x.shape[1])  # (1, heads, N, N)
        h, back_first = self.dropout(x)
        backs = []
        for block in self.block:
            attention, feed_forward = block["layer"]
            h, back_attention = attention(h, bias, mask)
            h, back_ff = feed_forward(h)
            backs.append((back_attention, back_ff))
        h, back_norm = self.final_layer_norm(h)
        y, back_last = self.dropout(h)

        def back(dy):
            dh, dbias = back_norm(back_last(dy)), 0
            for back_attention, back_ff in reversed(backs):
                dh, dbias_i = back_attention(back_ff(dh))
                dbias = dbias + dbias_i  # one bias for all blocks
            back_bias(dbias)
            return back_first(dh)

        return y, back


class T5SelfAttention(Layer):
    """x + attention(norm(x)).   x (B, N, D), bias (1, heads, N, N)   ->   y.   back(dy) -> (dx, dbias)"""

    def __init__(self, config, has_bias, rng):
        self.SelfAttention = T5Attention(config, has_bias, rng)
        self.layer_norm = RMSNorm(config["d_model"], config["layer_norm_epsilon"])
        self.dropout = Dropout(config["dropout_rate"])

    def forward(self, x, bias, mask=None):
        h, back_norm = self.layer_norm(x)
        h, back_attention = self.SelfAttention(h, bias, mask)
        h, back_drop = self.dropout(h)

        def back(dy):
            dh, dbias = back_attention(back_drop(dy))
            return dy + back_norm(dh), dbias

        return x + h, back


class T5Attention(Layer):
    """Attention whose scores are not divided by sqrt(d): T5 starts from smaller weights instead."""

    def __init__(self, config, has_bias, rng):
        self.heads, inner, width = config["num_heads"], config["num_heads"] * config["d_kv"], config["d_model"]
        self.q, self.k = Linear(width, inner, bias=False, rng=rng), Linear(width, inner, bias=False, rng=rng)
        self.v, self.o = Linear(width, inner, bias=False, rng=rng), Linear(inner, width, bias=False, rng=rng)
        self.buckets, self.distance = config["relative_attention_num_buckets"], config["relative_attention_max_distance"]
        self.relative_attention_bias = Embedding(self.buckets, self.heads, rng) if has_bias else None

    def forward(self, x, bias, mask=None):
        q, back_q = self.q(x)
        k, back_k = self.k(x)
        v, back_v = self.v(x)
        h, back_attention = ops.attention(q, k, v, self.heads, mask, 1.0, bias)
        y, back_out = self.o(h)

        def back(dy):
            dq, dk, dv, dbias = back_attention(back_out(dy))
            return back_q(dq) + back_k(dk) + back_v(dv), dbias

        return y, back

    def place_bias(self, N):
        """The bias of each attention score, by the distance of the two tokens.   -> (1, heads, N, N), back(dbias) -> None"""
        table = _bucket_table(N, self.buckets, self.distance)
        rows, back_table = self.relative_attention_bias(table.beside(self.relative_attention_bias.weight.value))

        def back(dbias):
            back_table(dbias[0].transpose(1, 2, 0))

        return rows.transpose(2, 0, 1)[None], back  # (N, N, heads) -> (1, heads, N, N)


@functools.lru_cache(maxsize=8)
def _bucket_table(N, buckets, max_distance):
    return Constant(relative_buckets(N, buckets, max_distance))


def relative_buckets(N, buckets, max_distance):
    """The bias row for tokens i and j: one for each near distance, logarithmic buckets for far ones.

    -> integers (N, N), NumPy.   Half of the buckets are for tokens after, half for those before.
    """
    gap = np.arange(N)[None, :] - np.arange(N)[:, None]  # the key's position relative to the query
    half = buckets // 2
    near, far = half // 2, np.abs(gap)
    share = np.log(np.maximum(far, 1).astype(np.float32) / near) / np.float32(math.log(max_distance / near))
    steps = near + (share * (half - near)).astype(np.int64)
    return np.where(far < near, far, np.minimum(steps, half - 1)) + half * (gap > 0)


class T5FeedForward(Layer):
    """x + wo(act(wi(norm(x)))), or with a gate, wo(act(wi_0 h) * wi_1 h).   x (B, N, D)   ->   y"""

    def __init__(self, config, rng):
        width, wide, kind = config["d_model"], config["d_ff"], config["feed_forward_proj"]
        self.gated = kind.startswith("gated-")
        # "gated-gelu" means the tanh form, as the checkpoints of T5 1.1 were trained with
        self.act = activation({"gated-gelu": "gelu_new"}.get(kind, kind.removeprefix("gated-")))
        names = ("wi_0", "wi_1") if self.gated else ("wi",)
        self.DenseReluDense = {name: Linear(width, wide, bias=False, rng=rng) for name in names}
        self.DenseReluDense["wo"] = Linear(wide, width, bias=False, rng=rng)
        self.layer_norm = RMSNorm(width, config["layer_norm_epsilon"])
        self.dropout = Dropout(config["dropout_rate"])

    def forward(self, x):
        maps = self.DenseReluDense
        h, back_norm = self.layer_norm(x)
        active, back_in = chain([maps["wi_0" if self.gated else "wi"], self.act], h)
        beside, back_beside = maps["wi_1"](h) if self.gated else (1.0, None)
        out, back_out = chain([self.dropout, maps["wo"], self.dropout], active * beside)

        def back(dy):
            dinside = back_out(dy)
            dh = back_in(dinside * beside)
            if back_beside:
                dh = dh + back_beside(dinside * active)
            return dy + back_norm(dh)

        return x + out, back
