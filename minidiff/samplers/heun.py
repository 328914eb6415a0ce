"""Heun's method: go, look at the slope where you arrive, and go again with the mean of both. With churn: noise first."""

import math

from .euler import KARRAS, PAPER, slope
from .registry import sampler
from .stepping import READY, Path, Step, scaled


@sampler(order=2, calls=2, paper=f"{PAPER}, alg. 2")
def heun(denoiser, x, steps=50, s_churn=0.0, s_min=0.0, s_max=math.inf, s_noise=1.0, rng=None, **stepping):
    """EDM's sampler. Deterministic unless s_churn > 0.   x (B, ...) -> yields Step.   Algorithm 2; its letters:

    s_churn        how much noise to put back over the whole run; a step adds at most what takes s to sqrt(2) s
    s_min, s_max   only at noise levels between these
    s_noise        standard deviation of that noise, slightly above 1 to make up for what the network removes too much
    stepping       see `stepping.Path`
    """
    for name, value in (("s_churn", s_churn), ("s_min", s_min), ("s_noise", s_noise)):
        if not value >= 0:
            raise ValueError(f"{name}: got {value}, expected a number, at least 0")
    for name, value, default in (("s_min", s_min, 0.0), ("s_max", s_max, math.inf), ("s_noise", s_noise, 1.0)):
        if s_churn == 0 and value != default:
            raise ValueError(f"{name}: got {value}, only valid with s_churn > 0: without churn no noise is added")
    if not s_min <= s_max:
        raise ValueError(f"s_min, s_max: got {s_min}, {s_max}, expected s_min <= s_max")
    path = Path(denoiser, x, steps, rng=rng, grid=KARRAS, uses="x0", **stepping)
    y = scaled(path)
    yield READY
    gamma = min(s_churn / len(path), math.sqrt(2) - 1)
    for i, now, after in path:
        if gamma > 0 and s_min <= now.s <= s_max:
            hat = path.at_s(min(now.s * (1 + gamma), path.s_max))  # no higher than the network has seen
            y = y + math.sqrt(max(hat.s**2 - now.s**2, 0.0)) * s_noise * path.noise()
            now = hat
        x0, _ = path.denoise(now.alpha * y, now)
        d = slope(y, x0, now.s)
        arrived = y + (after.s - now.s) * d
        if after.s > 0:
            d_arrived = slope(arrived, path.denoise(after.alpha * arrived, after)[0], after.s)
            arrived = y + (after.s - now.s) * (d + d_arrived) / 2
        y = arrived
        yield Step(i, now.t, after.alpha * y, x0)
