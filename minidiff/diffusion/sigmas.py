"""Noise levels for samplers that think in sigma, the noise-to-signal ratio sigma(t) / alpha(t).

Divide x_t by alpha(t) and every process looks the same: clean data plus noise of standard deviation sigma. All levels
here are float64, descending, and without the final 0: a sampler adds what it ends on.
"""

import math
from functools import lru_cache

import numpy as np

from ..backend import xp_of


def karras_sigmas(sigma_min, sigma_max, steps, rho=7.0):
    """Straight line in sigma^(1/rho).   -> float64 (steps,), sigma_max first. Karras et al. 2022 (arXiv:2206.00364), eq. 5."""
    _check(sigma_min, sigma_max, steps)
    ramp = np.linspace(0.0, 1.0, steps)
    return (sigma_max ** (1 / rho) + ramp * (sigma_min ** (1 / rho) - sigma_max ** (1 / rho))) ** rho


def exponential_sigmas(sigma_min, sigma_max, steps):
    """Straight line in log sigma: every step divides sigma by the same factor.   -> float64 (steps,), sigma_max first."""
    _check(sigma_min, sigma_max, steps)
    return np.exp(np.linspace(math.log(sigma_max), math.log(sigma_min), steps))


log_uniform_sigmas = exponential_sigmas  # the same levels under the name that DPM-Solver's paper gives them


def beta_sigmas(sigma_min, sigma_max, steps, a=0.6, b=0.6):
    """Quantiles of a Beta(a, b) distribution between the two ends, dense at both.   -> float64 (steps,), sigma_max first.

    Lee et al. 2024 (arXiv:2407.12173), who place times so; laid over sigma here, as diffusers does.
    """
    _check(sigma_min, sigma_max, steps)
    return sigma_min + (sigma_max - sigma_min) * _beta_ramp(steps, a, b)


@lru_cache(maxsize=64)  # a sampler's steps are the same in every run, and the bisection takes longer than some of them
def _beta_ramp(steps, a, b):
    return beta_quantile(np.linspace(1.0, 0.0, steps), a, b)


def beta_quantile(p, a, b):
    """The x below which a Beta(a, b) variable falls with probability p.   p (N,) in [0, 1] -> float64 (N,)

    By bisection, and a power series for the distribution: exact to about 1e-15.
    """
    if not (a > 0 and b > 0):
        raise ValueError(f"a, b: got {a}, {b}, expected two positive numbers")
    p = np.asarray(p, dtype=np.float64)
    half = _beta_below(np.array([0.5]), a, b)[0]
    return np.where(p <= half, _lower_quantile(p.clip(0, half), a, b), 1.0 - _lower_quantile((1 - p).clip(0, 1 - half), b, a))


def _lower_quantile(p, a, b):
    low, high = np.zeros_like(p), np.full_like(p, 0.5)
    for _ in range(60):
        middle = (low + high) / 2
        below = _beta_below(middle, a, b) < p
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return np.where(p == 0, 0.0, (low + high) / 2)


def _beta_below(x, a, b):
    """P(X < x) of Beta(a, b), for x up to 1/2.   x^a / B(a, b) * sum over n of (1 - b)_n / n! * x^n / (a + n)"""
    term, total = np.ones_like(x), np.full_like(x, 1.0 / a)
    for n in range(1, 64):
        term = term * x * ((n - b) / n)
        total = total + term / (a + n)
    return x**a * total * math.exp(math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b))


# The spacings that choose noise levels: name -> rule(sigma_min, sigma_max, steps)
LEVEL_RULES = {"karras": karras_sigmas, "exponential": exponential_sigmas, "lu": log_uniform_sigmas, "beta": beta_sigmas}


def schedule_sigmas(schedule):
    """sigma / alpha at every whole step of a Schedule.   -> float64 (T,), ascending; the last is inf at zero terminal SNR"""
    with np.errstate(divide="ignore"):
        return ((1.0 - schedule.alpha_bar) / schedule.alpha_bar) ** 0.5


def sigma_of_t(schedule, t, interpolation="log"):
    """sigma / alpha at any t.   t scalar or array -> float or array

    interpolation   "log": between whole steps as the Schedule does, linear in log-SNR
                    "linear": linear in sigma itself, as diffusers' Euler, Heun and LMS schedulers do by default
    """
    if interpolation == "log":
        sigma = xp_of(t).exp(-0.5 * schedule.log_snr(t))
    elif interpolation == "linear":
        xp = xp_of(t)
        steps, levels = xp.arange(schedule.T, dtype=np.float64), xp.asarray(schedule_sigmas(schedule))
        sigma = xp.interp(xp.asarray(t, dtype=np.float64), steps, levels)
    else:
        raise ValueError(f"interpolation: got {interpolation!r}, expected 'log' or 'linear'")
    return float(sigma) if np.ndim(sigma) == 0 else sigma


def t_of_sigma(schedule, sigma):
    """The real-valued t at which sigma / alpha is this.   sigma > 0, scalar or array -> float or array. Inverse of "log"."""
    return schedule.t_of_log_snr(-2.0 * xp_of(sigma).log(sigma))


def _check(sigma_min, sigma_max, steps):
    if not 0 < sigma_min <= sigma_max < math.inf:
        raise ValueError(f"sigma_min, sigma_max: got {sigma_min}, {sigma_max}, expected 0 < sigma_min <= sigma_max, finite")
    if not isinstance(steps, (int, np.integer)) or steps < 1:
        raise ValueError(f"steps: got {steps!r}, expected a whole number, at least 1")
