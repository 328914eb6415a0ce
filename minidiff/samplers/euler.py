"""Euler's method in the noise level: divide x by alpha, and x_t = x0 + s eps with s = sigma / alpha, whatever the schedule.

dy/ds = (y - x0(y, s)) / s        Karras et al. 2022 (arXiv:2206.00364), equation 1 with sigma(t) = t
"""

import math

from .registry import sampler
from .stepping import READY, Path, Step, check_range, scaled

KARRAS = {"spacing": "karras"}
PAPER = "Karras et al. 2022 (arXiv:2206.00364)"


@sampler(order=1, calls=1, paper=f"{PAPER}, alg. 1, first order")
def euler(denoiser, x, steps=50, rng=None, **stepping):
    """Straight lines along the probability-flow ODE. The same as DDIM at eta = 0.   x (B, ...) -> yields Step."""
    path = Path(denoiser, x, steps, rng=rng, grid=KARRAS, uses="x0", **stepping)
    y = scaled(path)
    yield READY
    for i, now, after in path:
        x0, _ = path.denoise(now.alpha * y, now)
        y = euler_step(y, x0, now.s, after.s)
        yield Step(i, now.t, after.alpha * y, x0)


@sampler(order=None, calls=1, deterministic=False, paper="k-diffusion, sample_euler_ancestral")
def euler_ancestral(denoiser, x, steps=50, eta=1.0, rng=None, **stepping):
    """Go down too far, then add noise up to the level that was meant.   x (B, ...) -> yields Step.

    eta   share of the noise that DDPM's posterior has; 0 is `euler`
    """
    check_range("eta", eta, 0, 1)
    path = Path(denoiser, x, steps, rng=rng, grid=KARRAS, uses="x0", **stepping)
    y = scaled(path)
    yield READY
    for i, now, after in path:
        x0, _ = path.denoise(now.alpha * y, now)
        up, down = ancestral_levels(now.s, after.s, eta)
        y = euler_step(y, x0, now.s, down)
        if up > 0:
            y = y + up * path.noise()
        yield Step(i, now.t, after.alpha * y, x0)


def slope(y, x0, s):
    """dy/ds: the noise that the predicted picture leaves, in units of s."""
    return (y - x0) / s


def euler_step(y, x0, s, s_after):
    """From noise level s to s_after along the slope at s."""
    return y + (s_after - s) * slope(y, x0, s)


def ancestral_levels(s, s_after, eta=1.0):
    """(up, down): how much noise to add, and how far to go down first, so that up^2 + down^2 = s_after^2."""
    up = min(s_after, eta * math.sqrt(s_after**2 * (s**2 - s_after**2)) / s)
    return up, math.sqrt(s_after**2 - up**2)
