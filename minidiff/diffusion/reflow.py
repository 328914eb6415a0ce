"""Reflow: straighten a flow by training it again on the pairs of noise and sample that it makes itself.

    x0 = flow(eps);   then the velocity of the straight path from that eps to that x0

Paths of random pairs cross, and the model averages over them, so its own paths bend. Paths of a flow do not cross: pairs that a
flow has made can be joined by straight lines with less to average, and fewer steps follow them. Liu et al. 2023
(arXiv:2209.03003), section 2.2.
"""

import numpy as np

from ..backend import xp_of
from .losses import SimpleLoss


class ReflowLoss(SimpleLoss):
    """SimpleLoss on pairs: the batch is (B, 2, ...), the sample and the noise it was made from, stacked as `pairs` does.

    The arguments are SimpleLoss's; with predicts="velocity" and Flow() this is rectified flow.
    """

    each_row_alone = True

    def draw(self, x0, rng):
        if x0.ndim < 2 or x0.shape[1] != 2:
            raise ValueError(f"x0: got shape {tuple(x0.shape)}, expected (B, 2, ...): sample and noise, from `reflow.pairs`")
        return x0[:, 0], x0[:, 1]


def pairs(samples, noise):
    """Samples and the noise they were made from as the data of a ReflowLoss.   two of (N, ...)   ->   (N, 2, ...)"""
    if samples.shape != noise.shape:
        raise ValueError(f"noise: got shape {tuple(noise.shape)}, expected that of the samples, {tuple(samples.shape)}")
    return xp_of(samples).stack([samples, noise], axis=1)


def straightness(denoiser, samples, noise, cond=None, times=20):
    """How far the flow's velocity is from the straight line between each pair: 0 where every path is straight.   -> float

    The mean over t of |(eps - x0) - velocity(x_t, t)|^2, per number, x_t on the straight line. Liu et al. 2023, section 2.2.

    denoiser   over a `Flow`;   samples, noise (B, ...);   times: how many, even in t, from the middle of each interval
    """
    flow, total = denoiser.schedule, 0.0
    for t in (np.arange(times) + 0.5) / times:
        x0, eps = denoiser(flow.add_noise(samples, noise, float(t)), float(t), cond)
        error = (noise - samples) - (eps - x0)
        total += float((error * error).mean())
    return total / times
