"""A small model for points in the plane: the first model of the course, and the fastest to train."""

import numpy as np

from .. import ops
from ..nn import Layer, Linear
from ..rng import as_rng
from .conditioning import ClassEmbedding, batch_of_times


class MLP(Layer):
    """Predicts one vector for each point, from the point, t and optionally a class.

    x (B, features)   t scalar or (B,)   cond integers (B,) or None   ->   y (B, out_features)
    Each hidden layer is h + SiLU(linear(h) + time(emb)), with the time embedding added in every layer.
    back(dy) -> dx
    """

    def __init__(self, features=2, out_features=None, width=128, depth=3, num_class_embeds=None, null_class=None, rng=None):
        rng = as_rng(rng)
        self.config = dict(features=features, out_features=out_features, width=width, depth=depth,
                           num_class_embeds=num_class_embeds, null_class=null_class)  # fmt: skip
        self.features, self.width, self.null_class = features, width, null_class
        self.input = Linear(features, width, rng=rng)
        self.class_embedding = ClassEmbedding(num_class_embeds, width, rng) if num_class_embeds else None
        self.hidden = [Linear(width, width, rng=rng) for _ in range(depth)]
        self.times = [Linear(width, width, rng=rng) for _ in range(depth)]
        self.output = Linear(width, out_features or features, rng=rng)

    def forward(self, x, t, cond=None):
        if x.ndim != 2 or x.shape[1] != self.features:
            raise ValueError(f"MLP: x has shape {tuple(x.shape)}, expected (B, {self.features})")
        emb = ops.timestep_embedding(batch_of_times(t, x), self.width, dtype=x.dtype)  # (B, width)
        back_class = None
        if self.class_embedding is not None:
            class_emb, back_class = self.class_embedding(cond, x.shape[0])
            emb = emb + class_emb
        h, back_input = self.input(x)
        backs = []
        for hidden, time in zip(self.hidden, self.times, strict=True):
            inner, back_hidden = hidden(h)
            shift, back_time = time(emb)
            active, back_silu = ops.silu(inner + shift)
            h = h + active
            backs.append((back_silu, back_hidden, back_time))
        y, back_output = self.output(h)

        def back(dy):
            dh, demb = back_output(dy), np.float32(0).astype(dy.dtype)
            for back_silu, back_hidden, back_time in reversed(backs):
                dinner = back_silu(dh)
                demb = demb + back_time(dinner)
                dh = dh + back_hidden(dinner)
            if back_class is not None:
                back_class(demb)
            return back_input(dh)

        return y, back

    def null_cond(self, cond):
        """The class "none" for each of `cond`; None where the model has no such class."""
        return None if self.null_class is None or cond is None else cond * 0 + self.null_class
