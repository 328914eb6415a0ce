"""The variance that a sampler generates on Gaussian data, exactly: no sampling, no network.

For data N(0, s^2) the optimal denoiser is linear, so a sampling run is linear in its start and in each draw of noise. In a
batch, sample k receives a single 1: as the start (k = 0) or as draw k. The outputs are the weights of the run, and the
variance of a sample is the sum of their squares.
"""

import numpy as np

from ..diffusion.denoiser import Denoiser


def generated_variance(function, schedule, data_std=1.0, **options):
    """Variance of what a sampler makes of N(0, 1) noise when the data is N(0, data_std^2), which it should be.   -> float

    function   a sampler, called as function(denoiser, x, rng=, **options); its draws of noise must be of x's shape
    schedule   a Schedule
    """

    def best(x, t, cond):
        alpha, sigma = schedule.alpha(t), schedule.sigma(t)
        return alpha * data_std**2 / (alpha**2 * data_std**2 + sigma**2) * x

    draws = 2 * schedule.T  # at most two a step
    x = np.zeros((1 + draws, 1))
    x[0] = 1.0
    *_, last = function(Denoiser(best, schedule, "x0"), x, rng=UnitDraws(), **options)
    return float((last.x**2).sum())


class UnitDraws:
    """A "generator" whose k-th draw is 1 for sample k and 0 for the others."""

    def __init__(self):
        self.draws = 0

    def standard_normal(self, size, dtype=np.float64):
        self.draws += 1
        z = np.zeros(size, dtype)
        z[self.draws] = 1.0
        return z
