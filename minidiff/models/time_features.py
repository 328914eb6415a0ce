"""The three timestep encodings of diffusers' U-Nets, before the two-layer MLP that they share."""

import math

import numpy as np

from .. import ops
from ..backend import Constant, xp_of
from ..complex_step import cast
from ..nn import Embedding, Layer
from ..rng import as_rng


class Sinusoids(Layer):
    """Sines and cosines of the time.   t (B,)   ->   (B, width).   back(dy) -> None: a time has no gradient here"""

    def __init__(self, width, flip_sin_to_cos=True, freq_shift=0):
        self.width, self.flip_sin_to_cos, self.freq_shift = width, flip_sin_to_cos, freq_shift

    def forward(self, t, dtype):
        y = ops.timestep_embedding(
            t, self.width, flip_sin_to_cos=self.flip_sin_to_cos, downscale_freq_shift=self.freq_shift, dtype=dtype
        )
        return y, lambda dy: None


class FourierFeatures(Layer):
    """Sines, then cosines, of log t at random frequencies.   t (B,) > 0   ->   (B, 2 width). Song et al. 2021, appendix H.

    The frequencies are drawn once and never learned, so they are no Param: they belong to the model's configuration.
    """

    def __init__(self, width, scale=16.0, weights=None, rng=None):
        if weights is None:
            rng = as_rng(rng)
            rng.standard_normal((width,), dtype=np.float32)  # that library draws them twice
            weights = rng.standard_normal((width,), dtype=np.float32) * np.float32(scale)
        self.weights = np.array(weights, dtype=np.float32)
        if self.weights.shape != (width,):
            raise ValueError(f"fourier_weights: got shape {self.weights.shape}, expected ({width},)")
        self._table = Constant(self.weights)

    def forward(self, t, dtype):
        xp = xp_of(t)
        log_t = xp.log(cast(t, dtype))
        angle = log_t[:, None] * (self._table.beside(t, dtype)[None, :] * (2.0 * math.pi))  # (B, width)
        return xp.concatenate([xp.sin(angle), xp.cos(angle)], axis=1), lambda dy: None


class LearnedTimes(Embedding):
    """A learned row for each whole time.   t (B,), whole numbers below `rows`   ->   (B, width)"""

    def forward(self, t, dtype):
        return super().forward(t.real.astype(np.int64))


def time_features(config, width, rng):
    """(layer, how many numbers it gives) for config["time_embedding_type"]: positional, fourier or learned."""
    kind = config["time_embedding_type"]
    if kind == "fourier":
        return FourierFeatures(width, weights=config["fourier_weights"], rng=rng), 2 * width
    if kind == "learned":
        return LearnedTimes(config["num_train_timesteps"], width, rng), width
    return Sinusoids(width, config["flip_sin_to_cos"], config["freq_shift"]), width
