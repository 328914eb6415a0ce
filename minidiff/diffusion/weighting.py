"""How much each noise level counts in the loss.

Every weighting is written as a weight on the squared error of x0; `weight` turns it into one on the squared error of what
the network predicts. At one x_t the errors differ only by a factor:

    eps error = alpha / sigma   x0 error
    v error   = (alpha^2 + sigma^2) / sigma   x0 error
    score error = alpha / sigma^2   x0 error
"""

from ..backend import xp_of
from .denoiser import check_predicts
from .names import did_you_mean

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
    alpha, sigma = schedule.alpha(t), schedule.sigma(t)
    xp, snr = xp_of(t), (alpha / sigma) ** 2
    if weighting == "x0":
        on_x0 = xp.ones_like(snr)
    elif weighting == "snr":
        on_x0 = snr
    elif weighting == "truncated_snr":
        on_x0 = xp.maximum(snr, 1.0)
    elif weighting == "min_snr":
        on_x0 = xp.minimum(snr, 5.0 if gamma is None else gamma)
    else:
        on_x0 = snr / (k + snr) ** (1.0 if gamma is None else gamma)
    return on_x0 / error_ratio(alpha, sigma, predicts) ** 2


def error_ratio(alpha, sigma, predicts):
    """The error of what is predicted over the error of x0, without its sign."""
    if predicts == "eps":
        return alpha / sigma
    if predicts == "v":
        return (alpha * alpha + sigma * sigma) / sigma
    if predicts == "score":
        return alpha / (sigma * sigma)
    return 1.0


def check_weighting(weighting):
    """Raises ValueError, with the nearest names, for an unknown weighting."""
    if weighting not in WEIGHTINGS:
        near = did_you_mean(weighting, WEIGHTINGS)
        raise ValueError(f"weighting: got {weighting!r}, expected one of {', '.join(WEIGHTINGS)}{near}")
