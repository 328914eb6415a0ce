"""The variational bound on -log p(x0), term by term, in bits a dimension.

    L_T      KL( q(x_T | x0)  ||  N(0, I) )                      signal left in the last step; no parameters
    L_{t-1}  KL( q(x_{t-1} | x_t, x0)  ||  p(x_{t-1} | x_t) )    one for every t from T - 1 to 1
    L_0      -log p(x0 | x_1)                                    a Gaussian, cut into one bin a grey level

Ho et al. 2020 (arXiv:2006.11239), equations 5 and 13. Steps count from 0 here, so L_0 belongs to t = 0.
"""

import math
from dataclasses import dataclass
from typing import Any

from ..backend import xp_of
from ..complex_step import clip, maximum
from ..rng import as_rng
from .posterior import Posterior

LOG2 = math.log(2.0)


def normal_kl(mean1, log_var1, mean2, log_var2):
    """KL between two diagonal Gaussians, entry by entry, in nats; and its gradients by mean2 and by log_var2."""
    xp = xp_of(mean1, mean2)
    ratio, away = _exp(xp, log_var1 - log_var2), (mean2 - mean1) * _exp(xp, -log_var2)
    square = away * (mean2 - mean1)
    kl = 0.5 * (-1.0 + log_var2 - log_var1 + ratio + square)
    return kl, away, 0.5 * (1.0 - ratio - square)


def discretized_gaussian(x, mean, log_scale, levels=256):
    """log of the mass that N(mean, exp(log_scale)^2) gives x's bin, entry by entry; and its gradients by mean and log_scale.

    x   on the grid -1, -1 + 2 / (levels - 1), ..., 1; the two outermost bins reach to infinity
    The normal distribution function is the tanh that the authors' code has (right to 2e-4, and itself a distribution
    function, so the masses sum to 1). Mass below 1e-12 counts as 1e-12.
    """
    xp, half = xp_of(x), 1.0 / (levels - 1)
    flip = (1 - 2 * (x > mean.real)).astype(x.dtype)  # mirrored to the lower tail, where small masses do not cancel
    inverse, away, side = _exp(xp, -log_scale), flip * (x - mean), flip * x
    z_high, z_low = (away + half) * inverse, (away - half) * inverse
    (cdf_high, slope_high), (cdf_low, slope_low) = _cdf(xp, z_high), _cdf(xp, z_low)
    cdf_high, slope_high = xp.where(side > 1 - half, 1.0, cdf_high), xp.where(side > 1 - half, 0.0, slope_high)
    cdf_low, slope_low = xp.where(side < half - 1, 0.0, cdf_low), xp.where(side < half - 1, 0.0, slope_low)
    mass = maximum(cdf_high - cdf_low, 1e-12)
    inside = (cdf_high - cdf_low > 1e-12) / mass
    by_mean = inside * (slope_low - slope_high) * inverse * flip
    by_log_scale = inside * (slope_low * z_low - slope_high * z_high)
    return xp.log(mass), by_mean, by_log_scale


def _cdf(xp, z):
    """The normal distribution function and its slope. Page 1977, "Approximations to the cumulative normal function"."""
    c = 2.0 * math.sqrt(2.0 / math.pi)
    e = xp.exp(clip(c * (z + 0.044715 * z * z * z), None, 80.0))
    cdf = e / (1.0 + e)  # = (1 + tanh) / 2 of half the exponent, exact in the lower tail
    return cdf, cdf / (1.0 + e) * c * (1.0 + 3 * 0.044715 * z * z)


def _exp(xp, a):
    return math.exp(a) if isinstance(a, float) else xp.exp(a)


def term(posterior, x0, xt, t, mean, log_variance, levels=256):
    """L_t of each sample: the KL, or L_0 where t = 0.   -> (B,) bits a dimension, gradients by mean and log_variance

    t   whole, scalar or (B,).  The gradients are of x0's shape and belong to the sum over the batch.
    """
    xp = xp_of(x0)
    n = (x0.size // len(x0)) * LOG2
    aim = posterior.mean(x0, xt, t)
    kl, kl_mean, kl_log_var = normal_kl(aim, posterior.model_log_variance(t, xt, "fixed_small"), mean, log_variance)
    log_p, p_mean, p_log_scale = discretized_gaussian(x0, mean, 0.5 * log_variance, levels)
    last = xp.asarray(t == 0).reshape((-1,) + (1,) * (x0.ndim - 1))  # (B or 1, 1, ..., 1)
    nats = xp.where(last, -log_p, kl)
    by_mean = xp.where(last, -p_mean, kl_mean) / n
    by_log_var = xp.where(last, -0.5 * p_log_scale, kl_log_var) / n
    return nats.reshape(len(x0), -1).sum(axis=1) / n, by_mean, by_log_var


def prior_term(schedule, x0):
    """L_T of each sample.   -> (B,) bits a dimension"""
    T = schedule.T - 1
    log_variance = 2 * math.log(schedule.sigma(T))
    kl, _, _ = normal_kl(schedule.alpha(T) * x0, log_variance, 0.0 * x0, 0.0)
    return kl.reshape(len(x0), -1).mean(axis=1) / LOG2


@dataclass(frozen=True)
class Bound:
    """The bound of each sample, all in bits a dimension: `total` (B,) is `prior` (B,) plus the sum of `terms` (B, T).

    terms[:, t] is L_t, so terms[:, 0] is L_0.   eps_mse, x0_mse (B, T): squared errors of the two predictions.
    """

    prior: Any
    terms: Any
    eps_mse: Any
    x0_mse: Any

    @property
    def total(self):
        return self.prior + self.terms.sum(axis=1)


def variational_bound(denoiser, x0, rng=None, variance=None, cond=None, levels=256, progress=None):
    """The whole bound on -log p(x0), one network call for each of the T steps.   -> Bound

    x0         (B, ...) on the grid of `levels` grey levels from -1 to 1
    variance   "fixed_small", "fixed_large" or "learned"; None: learned where the model learned it, else fixed_small
    progress   wraps the loop over t: a function of an iterable, such as tqdm
    """
    schedule, rng, xp = denoiser.schedule, as_rng(rng, xp_of(x0)), xp_of(x0)
    posterior, rows = Posterior(schedule), []
    if variance is None:
        variance = "learned" if getattr(denoiser, "learned_variance", False) else "fixed_small"
    for t in (progress or iter)(range(schedule.T - 1, -1, -1)):
        eps = xp.asarray(rng.standard_normal(x0.shape, dtype=x0.dtype))
        xt = schedule.add_noise(x0, eps, t)
        x0_hat, eps_hat, share = denoiser.predict(xt, t, cond)
        log_variance = posterior.model_log_variance(t, xt, variance, share)
        bits, _, _ = term(posterior, x0, xt, t, posterior.mean(x0_hat, xt, t), log_variance, levels)
        errors = [((a - b) ** 2).reshape(len(x0), -1).mean(axis=1) for a, b in ((eps_hat, eps), (x0_hat, x0))]
        rows.append((bits, *errors))
    terms, eps_mse, x0_mse = (xp.stack(column[::-1], axis=1) for column in zip(*rows, strict=True))  # (B, T)
    return Bound(prior_term(schedule, x0), terms, eps_mse, x0_mse)
