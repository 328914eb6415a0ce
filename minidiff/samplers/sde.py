"""The reverse SDE, solved step by step, for any process: variance exploding, variance preserving, and the DDPMs, which are VP.

Only alpha and sigma are needed: they say what the forward SDE does between two points (`point.transition`).
Song et al. 2021 (arXiv:2011.13456).
"""

import math

from ..backend import xp_of
from .options import POSITIVE, whole
from .point import CLEAN, transition
from .registry import sampler
from .trajectory import Step, check_signal

PAPER = "Song et al. 2021 (arXiv:2011.13456)"
SDE = dict(order=None, deterministic=False, steps=1000, uses="eps", check=check_signal)


@sampler(calls=1, paper=f"{PAPER}, app. E", **SDE)
def reverse_diffusion(trajectory):
    """The reverse SDE, discretised as the forward one is.   x (B, ...) -> yields Step.   Equation 46.

    The first step in the noise that is left out is the last: it returns the mean.
    """
    x = trajectory.x
    for i, now, after in trajectory:
        x, x0 = reverse_step(trajectory, x, now, after, last=i == len(trajectory) - 1)
        yield Step(i, now.t, x, x0)


@sampler(calls="1 + corrector_steps", paper=f"{PAPER}, alg. 2 and 3", **SDE)
def predictor_corrector(trajectory, corrector_steps: whole(0) = 1, snr: POSITIVE = 0.16):
    """Predict by `reverse_diffusion`, correct by Langevin dynamics at the new noise level.   x (B, ...) -> yields Step.

    corrector_steps   Langevin moves a step; each asks the network once
    snr               their length: the signal-to-noise ratio r of algorithms 4 and 5; the latter's alpha_i, which is 1
                      for VE, is the square of the ratio of alphas
    """
    x = trajectory.x
    for i, now, after in trajectory:
        x, x0 = reverse_step(trajectory, x, now, after, last=i == len(trajectory) - 1)
        for _ in range(corrector_steps if after != CLEAN else 0):
            x = langevin_step(trajectory, x, after, snr * now.alpha / after.alpha)
        yield Step(i, now.t, x, x0)


def reverse_step(trajectory, x, now, after, last):
    """(x, x0) one step back:   x' = (2 - ratio) x + added score + sqrt(added) z,   without z at the last."""
    x0, eps = trajectory.denoise(x, now)
    ratio, added = transition(now, after)
    x = (2.0 - ratio) * x - (added / now.sigma) * eps
    return (x if last else x + math.sqrt(added) * trajectory.noise()), x0


def langevin_step(trajectory, x, point, snr):
    """x + e score + sqrt(2 e) z, with e = 2 (r |z| / |score|)^2, the norms being means over the batch."""
    _, eps = trajectory.denoise(x, point)
    score, z = eps * (-1.0 / point.sigma), trajectory.noise()
    e = 2.0 * (snr * _norm(z) / _norm(score)) ** 2
    return x + e * score + xp_of(x).sqrt(2.0 * e) * z


def _norm(x):
    """Mean over the batch of the length of each sample."""
    return ((x * x).reshape(len(x), -1).sum(axis=1) ** 0.5).mean()
