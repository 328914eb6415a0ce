"""The times that diffusers tells a model when it chooses noise levels first.

Its DPM-Solver and UniPC classes cut such a time to a whole step. The highest level is the schedule's last, so the time is
T - 1 or one less, as the last bit of a float32 logarithm has it: with Stable Diffusion's betas it is 998 of 999. Its Euler
and Heun classes keep the fraction, whose rounding moves an image by 1e-5. So the tables here repeat its arithmetic to the
bit. Nothing else of a run is in float32.
"""

import numpy as np

from ..diffusion import Schedule
from ..diffusion.sigmas import LEVEL_RULES

F = np.float32


def times_of_levels(name, full, rule, steps, ends):
    """The real-valued times of the levels of "karras", "lu", "exponential" or "beta".   -> float64 (steps,), noisiest first

    ends   the times between which the levels lie, the cleanest first
    """
    alpha_bar = _alpha_bar(full)
    s = np.sqrt((F(1) - alpha_bar) / alpha_bar)
    curve = np.log(s)
    if rule == "lu":
        high, low = float(curve[-1]), float(curve[0])
        levels = np.exp(high + np.linspace(0.0, 1.0, steps) * (low - high))
    else:
        levels = LEVEL_RULES[rule](*limits_of_levels(name, full, rule, s, ends), steps)
    return time_of_level(curve, np.log(levels))


def limits_of_levels(name, full, rule, s, ends):
    """(lowest, highest) level of a run: sigma_min and sigma_max where the class looks at them, else s (T,) at the two times."""
    low, high = np.interp(ends, np.arange(len(s)), s)
    if name == "LMSDiscreteScheduler" and rule == "karras":  # the one rule there that does not look at them
        return low, high
    given_low, given_high = full["sigma_min"], full["sigma_max"]
    return low if given_low is None else given_low, high if given_high is None else given_high


def time_of_level(curve, log_s):
    """The real-valued times at which a curve log(sigma / alpha) (T,) has these values (n,), held to 0 .. T - 1.

    Between the last step at or below a value and the next one, on a straight line. The curve need not rise all the way.
    """
    at_or_below = curve <= log_s[:, None]  # (n, T)
    below = (len(curve) - 1 - at_or_below[:, ::-1].argmax(axis=1)) * at_or_below.any(axis=1)
    below = below.clip(0, len(curve) - 2)
    share = ((curve[below] - log_s) / (curve[below] - curve[below + 1])).clip(0, 1)
    return (1 - share) * below + share * (below + 1)


def _alpha_bar(full):
    """Float32 (T,), the bits of `alphas_cumprod` there."""
    T, kind = full["num_train_timesteps"], full["beta_schedule"]
    if full.get("trained_betas") is not None:
        betas = np.array(full["trained_betas"], dtype=F)
    elif kind == "linear":
        betas = _line(full["beta_start"], full["beta_end"], T)
    elif kind == "scaled_linear":
        betas = _line(full["beta_start"] ** 0.5, full["beta_end"] ** 0.5, T) ** 2
    else:
        betas = Schedule.cosine(T).betas.astype(F)
    if full.get("rescale_betas_zero_snr"):
        alpha = np.sqrt(_product(F(1) - betas))
        first, last = alpha[0], alpha[-1]
        alpha = ((alpha - last) * (first / (first - last))) ** 2
        betas = F(1) - np.append(alpha[:1], alpha[1:] / alpha[:-1])
    alpha_bar = _product(F(1) - betas)
    if full.get("rescale_betas_zero_snr"):
        alpha_bar[-1] = 2.0**-24
    return alpha_bar


def _line(start, end, T):
    """torch.linspace: from both ends to the middle, each number rounded once."""
    start, end = F(start), F(end)
    gap = float((end - start) / F(T - 1)) if T > 1 else 0.0
    i = np.arange(T)
    return np.where(i < T // 2, float(start) + gap * i, float(end) - gap * (T - 1 - i)).astype(F)


def _product(alphas):
    """torch.cumprod: accumulated in float64, each number rounded once."""
    return np.cumprod(alphas.astype(np.float64)).astype(F)
