"""How much each noise level counts in the loss.

Every weighting is written as a weight on the squared error of x0; `weight` turns it into one on the squared error of what
the network predicts. At one x_t the errors differ only by a factor:

    eps error      = alpha / sigma   x0 error
    v error        = (alpha^2 + sigma^2) / sigma   x0 error
    velocity error = (alpha + sigma) / sigma   x0 error
    score error    = alpha / sigma^2   x0 error

Where the SNR is 0 (zero terminal SNR) or infinite (sigma = 0) the two factors may be 0 and infinite. The weight is then the
limit of their product, so each weighting is defined for x0 and for eps.
"""

import numpy as np

from ..backend import xp_of
from ..names import check_choice
from .denoiser import check_predicts

WEIGHTINGS = ("simple", "x0", "snr", "truncated_snr", "min_snr", "p2")


def weight(schedule, t, predicts="eps", weighting="simple", gamma=None, k=1.0):
    """Weight of the squared error of what is predicted, at each t.   t (B,)   ->   float64 (B,), or None for all 1

    weighting   simple         1, whatever is predicted: DDPM's L_simple, for eps
                x0             the same as 1 on x0
                snr            SNR on x0; the same as 1 on eps
                truncated_snr  max(SNR, 1) on x0. Salimans and Ho 2022 (arXiv:2202.00512), section 4
                min_snr        min(SNR, gamma) on x0, gamma 5. Hang et al. 2023 (arXiv:2303.09556), equation 12
                p2             1 / (k + SNR)^gamma on eps, gamma 1. Choi et al. 2022 (arXiv:2204.00227), equation 8
    """
    check_predicts(predicts)
    check_weighting(weighting)
    if weighting == "simple":
        return None
    signal, noise = schedule.alpha(t) ** 2, schedule.sigma(t) ** 2
    with np.errstate(divide="ignore", invalid="ignore"):
        on_x0, on_eps = _pair(xp_of(t), signal, noise, weighting, gamma, k)
        if predicts == "x0":
            return on_x0
        if predicts == "eps":
            return on_eps
        if predicts == "score":
            return noise * on_eps
        size = (signal + noise) ** 2 if predicts == "v" else (schedule.alpha(t) + schedule.sigma(t)) ** 2
        return xp_of(t).where(signal < noise, noise * on_x0, signal * on_eps) / size


def _pair(xp, signal, noise, weighting, gamma, k):
    """The weight on x0's squared error and on eps's, each finite or infinite as its limit is.   signal, noise: squares (B,)"""
    snr, inverse, one = signal / noise, noise / signal, xp.ones_like(signal)
    if weighting == "x0":
        return one, inverse
    if weighting == "snr":
        return snr, one
    if weighting == "truncated_snr":
        return xp.maximum(snr, 1.0), xp.maximum(1.0, inverse)
    if weighting == "min_snr":
        gamma = 5.0 if gamma is None else gamma
        return xp.minimum(snr, gamma), xp.minimum(1.0, gamma * inverse)
    gamma = 1.0 if gamma is None else gamma
    both = (k * noise + signal) ** gamma  # = (noise (k + SNR))^gamma
    return signal * noise ** (gamma - 1.0) / both, noise**gamma / both


def check_finite(schedule, predicts, weighting, gamma=None, k=1.0):
    """Raises ValueError where the weight is infinite at an end of a Schedule: pure noise, or none."""
    if weighting == "simple" or not hasattr(schedule, "betas"):
        return
    t = np.array([0, schedule.T - 1])
    bad = t[~np.isfinite(weight(schedule, t, predicts, weighting, gamma, k))]
    if bad.size:
        raise ValueError(
            f"weighting: {weighting!r} on {predicts} is infinite at t = {bad[0]} of this schedule, "
            f"where alpha is {schedule.alpha(int(bad[0])):g}; use min_snr or snr, or predict v"
        )


def check_weighting(weighting, gamma=None, k=1.0):
    """Raises ValueError, with the nearest names, for an unknown weighting, and for a number that it has no use for."""
    check_choice("weighting", weighting, WEIGHTINGS)
    if gamma is not None and weighting not in ("min_snr", "p2"):
        raise ValueError(f"gamma: got {gamma}, only valid with weighting 'min_snr' or 'p2', not {weighting!r}")
    if k != 1.0 and weighting != "p2":
        raise ValueError(f"k: got {k}, only valid with weighting 'p2', not {weighting!r}")
