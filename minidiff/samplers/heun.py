"""Heun's method: go, look at the slope where you arrive, and go again with the mean of both. With churn: noise first."""

import math

from .euler import EDM, PAPER, slope
from .options import at_least
from .registry import sampler
from .trajectory import Step, check_signal


def check_churn(trajectory, s_churn, s_min, s_max, s_noise):
    """Raises ValueError for options of the churn without churn, and for an empty range of noise levels."""
    for name, value, default in (("s_min", s_min, 0.0), ("s_max", s_max, math.inf), ("s_noise", s_noise, 1.0)):
        if s_churn == 0 and value != default:
            raise ValueError(f"{name}: got {value}, only valid with s_churn > 0: without churn no noise is added")
    if not s_min <= s_max:
        raise ValueError(f"s_min, s_max: got {s_min}, {s_max}, expected s_min <= s_max")
    check_signal(trajectory)


@sampler(order=2, calls=2, paper=f"{PAPER}, alg. 2", **EDM | {"check": check_churn})
def heun(trajectory, s_churn: at_least(0) = 0.0, s_min: at_least(0) = 0.0, s_max=math.inf, s_noise: at_least(0) = 1.0):
    """EDM's sampler. Deterministic unless s_churn > 0.   x (B, ...) -> yields Step.   Algorithm 2; its letters:

    s_churn        how much noise to put back over the whole run; a step adds at most what takes sigma to sqrt(2) sigma
    s_min, s_max   only at noise levels between these
    s_noise        standard deviation of that noise, slightly above 1 to make up for what the network removes too much
    """
    x = trajectory.x / trajectory.first.alpha
    gamma = min(s_churn / len(trajectory), math.sqrt(2) - 1)
    for i, now, after in trajectory:
        if gamma > 0 and s_min <= now.s <= s_max:
            hat = trajectory.at_s(min(now.s * (1 + gamma), trajectory.s_max))  # no higher than the network has seen
            x = x + math.sqrt(max(hat.s**2 - now.s**2, 0.0)) * s_noise * trajectory.noise()
            now = hat
        sigma_hat, sigma_next = now.s, after.s
        x0, _ = trajectory.denoise(now.alpha * x, now)
        d = slope(x, x0, sigma_hat)
        x_next = x + (sigma_next - sigma_hat) * d
        if sigma_next > 0:
            d_prime = slope(x_next, trajectory.denoise(after.alpha * x_next, after)[0], sigma_next)
            x_next = x + (sigma_next - sigma_hat) * (d + d_prime) / 2
        x = x_next
        yield Step(i, now.t, after.alpha * x, x0)
