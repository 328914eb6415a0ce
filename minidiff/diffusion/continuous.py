"""Processes in continuous time: noise added by a stochastic differential equation, Song et al. 2021 (arXiv:2011.13456).

    dx = f(t) x dt + g(t) dw        =>        x_t = alpha(t) x0 + sigma(t) eps
    dx/dt = f(t) x - g(t)^2 / 2 score(x, t)   the probability-flow ODE: other paths, the same densities

A process stands where a Schedule stands: in a Denoiser, a loss, a sampler. Its t is real-valued, from t_min (nearly
clean) to t_max. Every method takes a number or an array and returns a float or an array, in float64.
"""

import math

import numpy as np

from ..backend import xp_of
from ..complex_step import absolute, cast, is_complex, maximum
from .schedule import per_sample


class Process:
    """What a process answers: alpha(t), sigma(t), log_snr(t), t_of_log_snr(l), f(t), g(t), t_min, t_max.

    A subclass writes `_alpha, _sigma, _f, _g, _t_of_log_snr` for arrays of one module.
    """

    t_min, t_max = 1e-5, 1.0

    def alpha(self, t):
        """Share of x0 in x_t."""
        return self._answer(self._alpha, t)

    def sigma(self, t):
        """Standard deviation of the noise in x_t."""
        return self._answer(self._sigma, t)

    def log_snr(self, t):
        """log(alpha^2 / sigma^2); falls as t grows."""
        return self._answer(lambda xp, t: 2 * xp.log(self._alpha(xp, t) / self._sigma(xp, t)), t)

    def t_of_log_snr(self, log_snr):
        """The t at which the log-SNR is this. The inverse of `log_snr`."""
        return self._answer(self._t_of_log_snr, log_snr)

    def f(self, t):
        """Drift: f(t) = d log alpha / dt."""
        return self._answer(self._f, t)

    def g(self, t):
        """Diffusion: g(t)^2 = d sigma^2 / dt - 2 f(t) sigma^2."""
        return self._answer(self._g, t)

    def add_noise(self, x0, eps, t):
        """x_t = alpha(t) x0 + sigma(t) eps.   x0, eps (B, ...)   t scalar or (B,)   ->   (B, ...), x0's dtype."""
        return per_sample(self.alpha(t), x0) * x0 + per_sample(self.sigma(t), x0) * eps

    @property
    def prior_std(self):
        """Standard deviation of the normal numbers that sampling starts from, at t_max."""
        return self.sigma(self.t_max)

    def _answer(self, formula, t):
        if np.ndim(t) == 0:
            return formula(np, np.complex128(t) if is_complex(t) else np.float64(t)).item()
        return formula(xp_of(t), cast(t, np.float64))

    def __repr__(self):
        settings = ", ".join(f"{name}={value:g}" for name, value in vars(self).items())
        return f"{type(self).__name__}({settings})"


class VP(Process):
    """Variance preserving: DDPM in continuous time, beta(t) a straight line. Song et al. 2021, appendix C; t in [1e-5, 1]."""

    def __init__(self, beta_min=0.1, beta_max=20.0):
        if not 0 <= beta_min <= beta_max or beta_max == 0:
            raise ValueError(f"beta_min, beta_max: got {beta_min}, {beta_max}, expected 0 <= beta_min <= beta_max, not both 0")
        self.beta_min, self.beta_max = float(beta_min), float(beta_max)

    def _beta(self, t):
        return self.beta_min + t * (self.beta_max - self.beta_min)

    def _integral(self, t):
        return t * self.beta_min + t * t * (self.beta_max - self.beta_min) / 2  # of beta, from 0 to t

    def _alpha(self, xp, t):
        return xp.exp(-self._integral(t) / 2)

    def _sigma(self, xp, t):
        return xp.sqrt(-xp.expm1(-self._integral(t)))

    def _f(self, xp, t):
        return -self._beta(t) / 2

    def _g(self, xp, t):
        return xp.sqrt(self._beta(t))

    def _t_of_log_snr(self, xp, log_snr):
        return self._t_of_integral(xp, _softplus(xp, -log_snr))  # alpha^2 = 1 / (1 + exp(-log_snr)) = exp(-integral)

    def _t_of_integral(self, xp, integral):
        slope = self.beta_max - self.beta_min
        return 2 * integral / (self.beta_min + xp.sqrt(self.beta_min**2 + 2 * slope * integral))  # the positive root


def _softplus(xp, x):
    """log(1 + exp(x))."""
    if x.dtype.kind != "c":
        return xp.logaddexp(0.0, x)
    return maximum(x, 0.0) + xp.log1p(xp.exp(-absolute(x)))


class SubVP(VP):
    """Song et al. 2021, equation 14: VP's drift, with a variance that VP's bounds from above: sigma = 1 - alpha^2."""

    def _sigma(self, xp, t):
        return -xp.expm1(-self._integral(t))

    def _g(self, xp, t):
        return xp.sqrt(-self._beta(t) * xp.expm1(-2 * self._integral(t)))

    def _t_of_log_snr(self, xp, log_snr):
        ratio = xp.exp(-log_snr / 2)  # sigma / alpha = 1 / alpha - alpha
        return self._t_of_integral(xp, 2 * xp.arcsinh(ratio / 2))


class VE(Process):
    """Variance exploding: alpha = 1, sigma(t) = sigma_min (sigma_max / sigma_min)^t. Song et al. 2021, appendix C."""

    def __init__(self, sigma_min=0.01, sigma_max=50.0):
        if not 0 < sigma_min < sigma_max:
            raise ValueError(f"sigma_min, sigma_max: got {sigma_min}, {sigma_max}, expected 0 < sigma_min < sigma_max")
        self.sigma_min, self.sigma_max = float(sigma_min), float(sigma_max)

    def _alpha(self, xp, t):
        return xp.ones_like(t)

    def _sigma(self, xp, t):
        return self.sigma_min * (self.sigma_max / self.sigma_min) ** t

    def _f(self, xp, t):
        return xp.zeros_like(t)

    def _g(self, xp, t):
        return self._sigma(xp, t) * math.sqrt(2 * math.log(self.sigma_max / self.sigma_min))

    def _t_of_log_snr(self, xp, log_snr):
        return (-log_snr / 2 - math.log(self.sigma_min)) / math.log(self.sigma_max / self.sigma_min)


class EDM(Process):
    """The noise level is the time: alpha = 1, sigma(t) = t in [sigma_min, sigma_max]. Karras et al. 2022 (arXiv:2206.00364)."""

    def __init__(self, sigma_min=0.002, sigma_max=80.0):
        if not 0 < sigma_min < sigma_max:
            raise ValueError(f"sigma_min, sigma_max: got {sigma_min}, {sigma_max}, expected 0 < sigma_min < sigma_max")
        self.t_min, self.t_max = float(sigma_min), float(sigma_max)

    def _alpha(self, xp, t):
        return xp.ones_like(t)

    def _sigma(self, xp, t):
        return t

    def _f(self, xp, t):
        return xp.zeros_like(t)

    def _g(self, xp, t):
        return xp.sqrt(2 * t)

    def _t_of_log_snr(self, xp, log_snr):
        return xp.exp(-log_snr / 2)
