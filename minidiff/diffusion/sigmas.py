"""Noise levels for samplers that think in sigma, the noise-to-signal ratio sigma(t) / alpha(t).

Divide x_t by alpha(t) and every process looks the same: clean data plus noise of standard deviation sigma. All levels
here are float64, descending, and without the final 0: a sampler adds what it ends on.
"""

import math

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
