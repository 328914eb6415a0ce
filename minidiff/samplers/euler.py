"""Euler's method in the noise level. In x / alpha the noise has standard deviation sigma / alpha, whatever the schedule.

With EDM's letters, x for x / alpha and sigma for sigma / alpha:   dx/dsigma = (x - x0(x, sigma)) / sigma

Karras et al. 2022 (arXiv:2206.00364), equation 1 with sigma(t) = t
"""

import math

from .options import between
from .registry import sampler
from .trajectory import Step, check_signal

EDM = dict(default={"spacing": "karras"}, uses="x0", check=check_signal)  # how its samplers walk
PAPER = "Karras et al. 2022 (arXiv:2206.00364)"


@sampler(order=1, calls=1, paper=f"{PAPER}, alg. 1, first order", **EDM)
def euler(trajectory):
    """Straight lines along the probability-flow ODE. The same as DDIM at eta = 0.   x (B, ...) -> yields Step."""
    x = trajectory.x / trajectory.first.alpha
    for i, now, after in trajectory:
        x0, _ = trajectory.denoise(now.alpha * x, now)
        x = euler_step(x, x0, now.s, after.s)
        yield Step(i, now.t, after.alpha * x, x0)


@sampler(order=None, calls=1, deterministic=False, paper="k-diffusion, sample_euler_ancestral", **EDM)
def euler_ancestral(trajectory, eta: between(0, 1) = 1.0):
    """Go down too far, then add noise up to the level that was meant.   x (B, ...) -> yields Step.

    eta   share of the noise that DDPM's posterior has; 0 is `euler`
    """
    x = trajectory.x / trajectory.first.alpha
    for i, now, after in trajectory:
        x0, _ = trajectory.denoise(now.alpha * x, now)
        sigma_up, sigma_down = ancestral_levels(now.s, after.s, eta)
        x = euler_step(x, x0, now.s, sigma_down)
        if sigma_up > 0:
            x = x + sigma_up * trajectory.noise()
        yield Step(i, now.t, after.alpha * x, x0)


def slope(x, x0, sigma):
    """d = dx/dsigma: the noise that the predicted image leaves, in units of sigma."""
    return (x - x0) / sigma


def euler_step(x, x0, sigma, sigma_next):
    """From noise level sigma to sigma_next along the slope at sigma."""
    return x + (sigma_next - sigma) * slope(x, x0, sigma)


def ancestral_levels(sigma, sigma_next, eta=1.0):
    """(sigma_up, sigma_down): how much noise to add, and how far to go down first; their squares add to sigma_next^2."""
    sigma_up = min(sigma_next, eta * math.sqrt(sigma_next**2 * (sigma**2 - sigma_next**2)) / sigma)
    return sigma_up, math.sqrt(sigma_next**2 - sigma_up**2)
