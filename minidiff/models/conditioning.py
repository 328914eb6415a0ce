"""Timestep and class embeddings: one vector for each image."""

import numpy as np

from ..backend import xp_of
from ..complex_step import is_complex
from ..nn import Embedding, Layer, Linear, chain
from ..ops.named import activation


def batch_of_times(t, x):
    """t as an array (B,) for x (B, ...), from one number for the whole batch or from one for each image."""
    if getattr(t, "ndim", 0) == 0:
        kind = np.int64 if isinstance(t, (int, np.integer)) else np.complex128 if is_complex(t) else np.float64
        return xp_of(x).full((x.shape[0],), t, dtype=kind)
    if t.shape != (x.shape[0],):
        raise ValueError(f"t has shape {tuple(t.shape)}, expected a number or ({x.shape[0]},) to fit x {tuple(x.shape)}")
    return t


class TimestepEmbedding(Layer):
    """The two-layer MLP behind the sinusoids: linear, activation, linear.   emb (B, i)   ->   (B, o)"""

    def __init__(self, i, o, rng=None, act="silu"):
        self.linear_1, self.linear_2 = Linear(i, o, rng=rng), Linear(o, o, rng=rng)
        self.act = activation(act)

    def forward(self, emb):
        return chain([self.linear_1, self.act, self.linear_2], emb)


class ClassEmbedding(Embedding):
    """A learned vector for each class.   labels integers (B,)   ->   (B, features)"""

    def forward(self, labels, batch=None):
        rows = self.weight.shape[0]
        if labels is None:
            raise ValueError(f"this model is conditional: pass cond, integers (B,) in [0, {rows})")
        if getattr(labels, "ndim", 0) != 1 or (batch is not None and labels.shape[0] != batch):
            raise ValueError(f"cond has shape {np.shape(labels)}, expected ({batch},): one class for each image")
        return super().forward(labels)
