"""The likelihood of an image by the probability flow ODE, which maps its density to that of the prior.

Divide x_t by alpha(t): with y = x_t / alpha and s = sigma / alpha every process has the same flow,

    dy / ds = eps(x_t, t)        d log p(y) / ds = -div_y eps = -alpha tr( d eps / d x_t )

Song et al. 2021 (arXiv:2011.13456), appendix D. Integrated in u = log s, where the paths bend evenly. The trace is a sum of
v . J v, J = d eps / d x_t: over all unit vectors v (exact), or over a few of random signs (Skilling and Hutchinson). Each
takes a vector-Jacobian product, which is a backward pass, or a Jacobian-vector product, which is a forward pass in complex
numbers; v . J v is the same number either way.
"""

import math
from collections import deque
from typing import Any, NamedTuple

import numpy as np

from ..backend import xp_of
from ..complex_step import jvp
from ..rng import as_rng
from .ode import rk45


class Likelihood(NamedTuple):
    """The result of `ode_log_likelihood`.

    log_p    nats, (B,)
    latent   end of the flow, x at t_max (B, ...): the image encoded as noise
    calls    number of network calls
    """

    log_p: Any
    latent: Any
    calls: int


def ode_log_likelihood(
    denoiser, x, cond=None, divergence="exact", probes=1, rng=None, rtol=1e-5, atol=1e-5, steps=None, t_min=None, t_max=None,
    log_prior=None, jacobian="vjp",
):  # fmt: skip
    """log p(x), in nats, of a sample at the lowest noise level.   x (B, ...)   ->   Likelihood

    denoiser     over a model with a backward pass (a Layer), real-valued t; a guided one too. With "jvp" any denoiser
    divergence   "exact": one product with each of the D unit vectors; "hutchinson": with `probes` random ones, unbiased
    jacobian     "vjp": vector-Jacobian products, by the model's backward pass
                 "jvp": Jacobian-vector products by complex steps (`gradcheck.jvp`), through the plain ops; no backward pass is
                 needed, so the model may be any analytic function, and the denoiser clipped, thresholded or rescaled
    rtol, atol   tolerance of the adaptive solver; steps: that many steps of classical Runge-Kutta instead, even in log s
    t_min        where x is taken to be: the schedule's lowest t unless given
    t_max        where the prior is: the schedule's highest t unless given, below it where alpha is 0 there (0.999 of a Flow)

    log_prior    (x at t_max) -> (B,), nats; None: N(0, sigma(t_max)^2 I)

    What is measured is the density of what the flow makes of the prior. It differs from the data's, even for a perfect
    denoiser, by what is left of the data at t_max: about alpha(t_max) times their mean, 0.01 nats for the usual VP.
    Parameter gradients are used as scratch space and zeroed at the end.
    """
    if divergence not in ("exact", "hutchinson"):
        raise ValueError(f"divergence: got {divergence!r}, expected 'exact' or 'hutchinson'")
    if jacobian not in ("vjp", "jvp"):
        raise ValueError(f"jacobian: got {jacobian!r}, expected 'vjp' or 'jvp'")
    if probes < 1 or (steps is not None and steps < 1):
        raise ValueError(f"probes, steps: got {probes}, {steps}, expected at least 1")
    schedule, xp, B = denoiser.schedule, xp_of(x), len(x)
    low, high = (0, schedule.T - 1) if hasattr(schedule, "betas") else (schedule.t_min, schedule.t_max)
    low, high = low if t_min is None else t_min, high if t_max is None else t_max
    if schedule.alpha(high) == 0:
        raise ValueError("schedule: got alpha = 0 at the last step (zero terminal SNR), where log(sigma / alpha) is infinite; "
                         "expected a schedule that ends above 0, or a t_max before its end")  # fmt: skip
    D, shape = x.size // B, x.shape
    signs = random_signs(rng, (probes, *shape), x) if divergence == "hutchinson" else None
    calls = 0

    def slope(u, state):
        nonlocal calls
        calls += 1
        t = _inside(schedule.t_of_log_snr(-2 * u), low, high)
        alpha, sigma = schedule.alpha(t), schedule.sigma(t)
        eps, product = with_jacobian(denoiser, alpha * state[:, :D].reshape(shape), t, cond, jacobian)
        probed = unit_vectors(x) if signs is None else signs
        trace = sum((v * product(v)).reshape(B, D).sum(axis=1) for v in probed)  # v . (d eps / d x) v, summed
        trace = trace if signs is None else trace / probes
        # dy/du = s eps and d log p(y)/du = -s alpha tr, where s = sigma / alpha
        return xp.concatenate([(sigma / alpha) * eps.reshape(B, D), (-sigma * trace)[:, None]], axis=1)  # (B, D + 1)

    u0, u1 = -schedule.log_snr(low) / 2, -schedule.log_snr(high) / 2
    state = xp.concatenate([x.reshape(B, D) / schedule.alpha(low), xp.zeros((B, 1), dtype=x.dtype)], axis=1)
    run = _rk4(slope, state, u0, u1, steps) if steps else rk45(slope, state, u0, u1, rtol, atol)
    [(_, state)] = deque(run, maxlen=1)
    if hasattr(getattr(denoiser, "model", None), "zero_grad"):
        denoiser.model.zero_grad()
    y, gained = state[:, :D], state[:, D]
    latent = (schedule.alpha(high) * y).reshape(shape)
    log_prior = _log_normal(latent, schedule.sigma(high)) if log_prior is None else log_prior(latent)
    # back from the density of y to that of x, at both ends: x = alpha y
    log_p = log_prior + D * math.log(schedule.alpha(high)) - gained - D * math.log(schedule.alpha(low))
    bad = int((~xp.isfinite(log_p)).sum())
    if bad:
        raise FloatingPointError(f"log_p: {bad} of {B} values are NaN or infinite; check x and the model for NaN")
    return Likelihood(log_p, latent, calls)


def with_jacobian(denoiser, x, t, cond=None, jacobian="vjp"):
    """eps, and a function that multiplies a vector by J = d eps / d x.   x, v (B, ...)

    jacobian   "vjp": product(v) is J^T v, by the backward pass; "jvp": J v, by a complex step
    """
    if jacobian == "vjp":
        return denoiser.eps_back(x, t, cond)

    def eps(x):
        return denoiser(x, t, cond)[1]

    return eps(x), lambda v: jvp(eps, [x], [v])[1]


def _log_normal(x, std):
    """log N(x; 0, std^2 I) in nats.   x (B, ...)   ->   (B,)"""
    D = x.size // len(x)
    return -0.5 * (x * x).reshape(len(x), D).sum(axis=1) / std**2 - D * math.log(std * math.sqrt(2 * math.pi))


def dequantize(x, rng=None, levels=256):
    """Grey levels spread evenly over their bins, so that a density says something about them.

    x (B, ...) on the grid -1 .. 1 of `levels` levels   ->   (level + u) / levels, scaled to [-1, 1)
    Theis et al. 2016 (arXiv:1511.01844), section 3.1.
    """
    xp = xp_of(x)
    u = xp.asarray(as_rng(rng, xp).random(x.shape, dtype=x.dtype))
    return (xp.round((x + 1) * ((levels - 1) / 2)) + u) * (2 / levels) - 1


def bits_per_dim(log_p, D, levels=256):
    """Bits a dimension of discrete data from the log-density (nats) of `dequantize`d data: lower is better.

    log_p (B,)   D dimensions   ->   (B,): the code length with one bin of width 2 / levels a dimension.
    """
    return -(log_p / D + math.log(2 / levels)) / math.log(2)


def _inside(t, low, high):
    """t, which rounding in log and exp may have moved a hair outside."""
    return min(max(t, low), high)


def random_signs(rng, shape, x):
    """Plus and minus ones in x's dtype and library: of all random vectors v, v J v estimates a trace best with these."""
    xp = xp_of(x)
    return xp.asarray(2 * as_rng(rng, xp).integers(0, 2, size=shape) - 1).astype(x.dtype)


def unit_vectors(x):
    """One array of x's shape for each of the D dimensions of a sample, 1 there and 0 elsewhere.   x (B, ...)"""
    xp, D = xp_of(x), x.size // len(x)
    for i in range(D):
        v = xp.zeros((len(x), D), dtype=x.dtype)
        v[:, i] = 1
        yield v.reshape(x.shape)


def _rk4(f, y, t0, t1, steps):
    """Classical Runge-Kutta of order 4 in equal steps."""
    h = (t1 - t0) / steps
    for t in np.linspace(t0, t1, steps + 1)[:-1].tolist():
        k1 = f(t, y)
        k2 = f(t + h / 2, y + h / 2 * k1)
        k3 = f(t + h / 2, y + h / 2 * k2)
        k4 = f(t + h, y + h * k3)
        y = y + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        yield t + h, y
