"""CLIP's text encoder, which encodes prompts for Stable Diffusion.

Radford et al. 2021 (arXiv:2103.00020), section 2.4: a transformer with causal attention. Option
names are those of transformers' CLIPTextModel; parameter names those of its files.
"""

from functools import partial

import numpy as np

from ..backend import xp_of
from ..nn import Attention, Embedding, Layer, LayerNorm, Linear, causal_mask, chain
from ..ops.named import activation
from ..rng import as_rng


class CLIPTextModel(Layer):
    """ids (B, N) integers   ->   hidden states (B, N, hidden_size), after the last norm.   back(dy) -> None: ids have none

    mask   bool (B, N), False on tokens that are not attended to; None: all are, as in Stable Diffusion
    Raises ValueError for more tokens than max_position_embeddings, and that names an option it does not know.
    """

    def __init__(self, vocab_size=49408, hidden_size=512, intermediate_size=2048, num_hidden_layers=12, num_attention_heads=8,
                 max_position_embeddings=77, hidden_act="quick_gelu", layer_norm_eps=1e-5,
                 pad_token_id=1, bos_token_id=49406, eos_token_id=49407, rng=None):  # fmt: skip
        self.config = dict(vocab_size=vocab_size, hidden_size=hidden_size, intermediate_size=intermediate_size,
                           num_hidden_layers=num_hidden_layers, num_attention_heads=num_attention_heads,
                           max_position_embeddings=max_position_embeddings, hidden_act=hidden_act,
                           layer_norm_eps=layer_norm_eps, pad_token_id=pad_token_id, bos_token_id=bos_token_id,
                           eos_token_id=eos_token_id)  # fmt: skip
        self.text_model = CLIPTextTransformer(self.config, as_rng(rng))

    def forward(self, ids, mask=None):
        longest = self.config["max_position_embeddings"]
        if ids.ndim != 2 or ids.shape[1] > longest:
            raise ValueError(f"CLIPTextModel: ids has shape {tuple(ids.shape)}, expected (B, N) with N at most {longest}")
        return self.text_model(ids, mask)

    def pool(self, hidden, ids):
        """The state at the end token, which stands for the text.   -> (B, hidden_size), back(dy) -> dhidden"""
        xp, end = xp_of(hidden), self.config["eos_token_id"]
        ids = xp.asarray(ids)
        # old configurations say 2 and mean the highest number of a row; the first end token otherwise
        at = ids.argmax(axis=1) if end == 2 else (ids == end).argmax(axis=1)  # (B,)
        here = (xp.arange(ids.shape[1])[None, :] == at[:, None]).astype(hidden.dtype)[:, :, None]  # (B, N, 1)

        def back(dy):
            return here * dy[:, None, :]

        return (hidden * here).sum(axis=1), back


class CLIPTextTransformer(Layer):
    """Embeddings, layers, a last norm."""

    def __init__(self, config, rng):
        width, eps = config["hidden_size"], config["layer_norm_eps"]
        self.embeddings = CLIPTextEmbeddings(config, rng)
        self.encoder = {"layers": [CLIPEncoderLayer(config, rng) for _ in range(config["num_hidden_layers"])]}
        self.final_layer_norm = LayerNorm(width, eps)

    def forward(self, ids, mask=None):
        xp = xp_of(self.final_layer_norm.weight.value)
        ids = xp.asarray(ids)
        seen = causal_mask(ids.shape[1], xp)
        if mask is not None:
            seen = seen & xp.asarray(mask)[:, None, None, :]  # (B, 1, N, N)
        layers = [partial(layer, mask=seen) for layer in self.encoder["layers"]]
        return chain([self.embeddings, *layers, self.final_layer_norm], ids)


class CLIPTextEmbeddings(Layer):
    """Token embeddings plus position embeddings."""

    def __init__(self, config, rng):
        self.token_embedding = Embedding(config["vocab_size"], config["hidden_size"], rng)
        self.position_embedding = Embedding(config["max_position_embeddings"], config["hidden_size"], rng)
        for table, spread in ((self.token_embedding, 0.02), (self.position_embedding, 0.02)):
            table.weight.value = table.weight.value * np.float32(spread)

    def forward(self, ids):
        tokens, back_tokens = self.token_embedding(ids)
        places, back_places = self.position_embedding(xp_of(ids).arange(ids.shape[1]))

        def back(dy):
            back_tokens(dy)
            back_places(dy.sum(axis=0))  # positions are shared by all texts

        return tokens + places, back


class CLIPEncoderLayer(Layer):
    """x + attention(norm(x)), then x + mlp(norm(x)).   x (B, N, D)   ->   y"""

    def __init__(self, config, rng):
        width, eps = config["hidden_size"], config["layer_norm_eps"]
        self.self_attn = CLIPAttention(width, config["num_attention_heads"], rng)
        self.layer_norm1 = LayerNorm(width, eps)
        self.mlp = {"fc1": Linear(width, config["intermediate_size"], rng=rng)}
        self.mlp["fc2"] = Linear(config["intermediate_size"], width, rng=rng)
        self.layer_norm2 = LayerNorm(width, eps)
        self.act = activation(config["hidden_act"])

    def forward(self, x, mask):
        h, back_attention = chain([self.layer_norm1, partial(self.self_attn, mask=mask)], x)
        x = x + h
        h, back_mlp = chain([self.layer_norm2, self.mlp["fc1"], self.act, self.mlp["fc2"]], x)

        def back(dy):
            dx = dy + back_mlp(dy)
            return dx + back_attention(dx)

        return x + h, back


class CLIPAttention(Layer):
    """Self-attention under CLIP's names.   x (B, N, D)   ->   y"""

    max_scores, attend = Attention.max_scores, Attention.attend

    def __init__(self, width, heads, rng):
        if width % heads:
            raise ValueError(f"num_attention_heads: got {heads}, expected a divisor of hidden_size={width}")
        self.heads = heads
        self.k_proj, self.v_proj = Linear(width, width, rng=rng), Linear(width, width, rng=rng)
        self.q_proj, self.out_proj = Linear(width, width, rng=rng), Linear(width, width, rng=rng)

    def forward(self, x, mask):
        q, back_q = self.q_proj(x)
        k, back_k = self.k_proj(x)
        v, back_v = self.v_proj(x)
        h, back_attention = self.attend(q, k, v, mask)
        y, back_out = self.out_proj(h)

        def back(dy):
            dq, dk, dv = back_attention(back_out(dy))
            return back_q(dq) + back_k(dk) + back_v(dv)  # x was used three times

        return y, back
