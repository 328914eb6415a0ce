"""The reverse SDE, step by step, for every process: VP, sub-VP, VE, and the discrete schedules, which are VP.

Only alpha and sigma are needed: they say what the forward SDE does between two points (`stepping.transition`).
Song et al. 2021 (arXiv:2011.13456).
"""

import math

from ..backend import xp_of
from .registry import sampler
from .stepping import CLEAN, READY, Path, Step, check_signal, transition

PAPER = "Song et al. 2021 (arXiv:2011.13456)"


@sampler(order=None, calls=1, deterministic=False, steps=1000, paper=f"{PAPER}, app. E")
def reverse_diffusion(denoiser, x, steps=1000, rng=None, **stepping):
    """The reverse SDE, discretised as the forward one is.   x (B, ...) -> yields Step.   Equation 46.

    The first step in the noise that is left out is the last: it returns the mean.
    stepping   see `stepping.Path`
    """
    path = check_signal(Path(denoiser, x, steps, rng=rng, uses="eps", **stepping))
    yield READY
    x = path.x
    for i, now, after in path:
        x, x0 = reverse_step(path, x, now, after, last=i == len(path) - 1)
        yield Step(i, now.t, x, x0)


@sampler(order=None, calls="1 + corrector_steps", deterministic=False, steps=1000, paper=f"{PAPER}, alg. 2 and 3")
def predictor_corrector(denoiser, x, steps=1000, corrector_steps=1, snr=0.16, rng=None, **stepping):
    """Predict by `reverse_diffusion`, correct by Langevin dynamics at the new noise level.   x (B, ...) -> yields Step.

    corrector_steps   Langevin moves a step; each asks the network once
    snr               their length: the signal-to-noise ratio r of algorithms 4 and 5; the latter's alpha_i, which is 1
                      for VE, is the square of the ratio of alphas
    """
    if not isinstance(corrector_steps, int) or corrector_steps < 0:
        raise ValueError(f"corrector_steps: got {corrector_steps!r}, expected a whole number, at least 0")
    if not snr > 0:
        raise ValueError(f"snr: got {snr}, expected a positive number")
    path = check_signal(Path(denoiser, x, steps, rng=rng, uses="eps", **stepping))
    yield READY
    x = path.x
    for i, now, after in path:
        x, x0 = reverse_step(path, x, now, after, last=i == len(path) - 1)
        for _ in range(corrector_steps if after != CLEAN else 0):
            x = langevin_step(path, x, after, snr * now.alpha / after.alpha)
        yield Step(i, now.t, x, x0)


def reverse_step(path, x, now, after, last):
    """(x, x0) one step back:   x' = (2 - ratio) x + added score + sqrt(added) z,   without z at the last."""
    x0, eps = path.denoise(x, now)
    ratio, added = transition(now, after)
    x = (2.0 - ratio) * x - (added / now.sigma) * eps
    return (x if last else x + math.sqrt(added) * path.noise()), x0


def langevin_step(path, x, point, snr):
    """x + e score + sqrt(2 e) z, with e = 2 (r |z| / |score|)^2, the norms being means over the batch."""
    _, eps = path.denoise(x, point)
    score, z = eps * (-1.0 / point.sigma), path.noise()
    e = 2.0 * (snr * _norm(z) / _norm(score)) ** 2
    return x + e * score + xp_of(x).sqrt(2.0 * e) * z


def _norm(x):
    """Mean over the batch of the length of each sample."""
    return ((x * x).reshape(len(x), -1).sum(axis=1) ** 0.5).mean()
