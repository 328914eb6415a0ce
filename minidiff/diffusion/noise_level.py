"""Estimates the timestep t of a noisy image.

`noise_std` uses the image alone: neighbouring pixels of an image are more similar than those of noise. `estimate_t` takes the
noise level with the highest likelihood under a denoiser, which knows the image distribution, so it is also right for images
with as much fine texture as noise.
"""

import numpy as np

from ..backend import xp_of
from .likelihood import random_signs, unit_vectors
from .sigmas import t_of_sigma


def noise_std(x):
    """Standard deviation of the white noise in images, from the images alone.   x (B, H, W, C)   ->   (B,)

    The diagonal detail (a - b - c + d) / 2 of every 2 x 2 block keeps white noise and removes all that is straight or
    smooth. Its median absolute value is 0.6745 of the noise's standard deviation, and a few blocks with corners hardly change
    a median. Donoho and Johnstone 1994, "Ideal spatial adaptation by wavelet shrinkage", section 4.2.
    """
    if x.ndim != 4 or x.shape[1] < 2 or x.shape[2] < 2:
        raise ValueError(f"x: got shape {x.shape}, expected images (B, H, W, C) of at least 2 x 2 pixels")
    H, W = x.shape[1] // 2 * 2, x.shape[2] // 2 * 2
    a, b, c, d = (x[:, i:H:2, j:W:2] for i in (0, 1) for j in (0, 1))
    detail = abs(a - b - c + d).reshape(len(x), -1) / 2
    return xp_of(x).median(detail, axis=1) / 0.6745


def t_of_noise_std(schedule, std, scaled=True):
    """The real-valued t of an image with noise of this standard deviation.   std (B,) or a number

    scaled   True: the image is x_t = alpha x0 + sigma eps, so sigma(t) is std
             False: it is x0 + std eps, with x0 unscaled, so sigma(t) / alpha(t) is std; alpha(t) x is then an x_t
    Levels outside the schedule give its first or last t.
    """
    if not scaled:
        return _held(schedule, t_of_sigma(schedule, std))
    low, high = _ends(schedule)
    xp, t = xp_of(std), np.linspace(low, high, 4001)
    found = xp.interp(xp.asarray(std, dtype=np.float64), xp.asarray(schedule.sigma(t)), xp.asarray(t))
    return float(found) if np.ndim(std) == 0 else found


def estimate_t(denoiser, x, cond=None, scaled=True, levels=64, divergence="hutchinson", probes=1, rng=None):
    """The most likely real-valued t of each image under a denoiser.   x (B, ...)   ->   float64 (B,)

    With u = log(sigma / alpha), the density of a fixed x changes with the noise level as

        d log p_u(x) / du = |eps|^2 - sigma div eps - (D - eps . x / sigma) d log alpha / du

    (the heat equation; eps is the denoiser's at that level). The sum over u is log p up to a constant, and t is its
    maximum. sigma div eps counts the dimensions that the denoiser determines. With "unit", all D of them are assumed: t is
    where the predicted noise has unit variance. It needs no backward pass and is right where the noise exceeds the image's
    fine texture; below that it returns the lowest t.

    scaled       as in `t_of_noise_std`: False for an unscaled image, without the term d log alpha / du
    levels       noise levels tried, evenly in u: one network call each
    divergence   "hutchinson" (with `probes`) or "exact", through the model's backward pass (a Layer's); or "unit"
    """
    if divergence not in ("unit", "exact", "hutchinson"):
        raise ValueError(f"divergence: got {divergence!r}, expected 'unit', 'exact' or 'hutchinson'")
    if levels < 3:
        raise ValueError(f"levels: got {levels}, expected at least 3")
    schedule, xp, B = denoiser.schedule, xp_of(x), len(x)
    low, high = _ends(schedule)
    u = np.linspace(-schedule.log_snr(low) / 2, -_finite(schedule, high) / 2, levels)
    signs = None
    if divergence == "hutchinson":
        signs = random_signs(rng, (probes, *x.shape), x)
    slopes = []
    for level in u.tolist():
        t = min(max(schedule.t_of_log_snr(-2 * level), low), high)
        slopes.append(_slope(denoiser, x, t, cond, scaled, divergence, signs))
    slopes = xp.stack(slopes).astype(np.float64)  # (levels, B)
    h = u[1] - u[0]
    log_p = xp.concatenate([xp.zeros((1, B)), xp.cumsum((slopes[:-1] + slopes[1:]) * (h / 2), axis=0)])  # trapezoids
    best = xp.clip(xp.argmax(log_p, axis=0), 1, levels - 2)  # (B,)
    rows = xp.arange(B)
    left, right = slopes[best - 1, rows], slopes[best + 1, rows]  # the slope falls through 0 between these two
    shift = xp.clip((left + right) / xp.maximum(left - right, 1e-300), -1, 1)
    return schedule.t_of_log_snr(-2 * (u[0] + (best + shift) * h))


def _slope(denoiser, x, t, cond, scaled, divergence, signs):
    """d log p / du of each image at this t.   ->   (B,)"""
    schedule, B, D = denoiser.schedule, len(x), x.size // len(x)
    alpha, sigma = schedule.alpha(t), schedule.sigma(t)
    xt = x if scaled else alpha * x
    if divergence == "unit":
        (_, eps), sigma_div = denoiser(xt, t, cond), float(D)
    else:
        eps, back = denoiser.eps_back(xt, t, cond)
        probed = unit_vectors(x) if signs is None else signs
        trace = sum((v * back(v)).reshape(B, D).sum(axis=1) for v in probed)
        sigma_div = sigma * trace if signs is None else sigma * trace / len(signs)
    square = (eps * eps).reshape(B, D).sum(axis=1)
    if not scaled:
        return square - sigma_div
    along = (eps * x).reshape(B, D).sum(axis=1)
    return square - sigma_div - (D - along / sigma) * _log_alpha_slope(schedule, t)


def _log_alpha_slope(schedule, t):
    """d log alpha / du; -sigma^2 where alpha^2 + sigma^2 = 1."""
    low, high = _ends(schedule)
    h = 1e-4 * (high - low)
    a, b = max(t - h, low), min(t + h, high)
    du = (schedule.log_snr(a) - schedule.log_snr(b)) / 2
    return float(np.log(schedule.alpha(b)) - np.log(schedule.alpha(a))) / du


def _ends(schedule):
    return (0, schedule.T - 1) if hasattr(schedule, "betas") else (schedule.t_min, schedule.t_max)


def _finite(schedule, t):
    """log-SNR at the noisy end, which is -inf at zero terminal SNR: then a level at which nothing can be seen."""
    return max(schedule.log_snr(t), -14.0)


def _held(schedule, t):
    low, high = _ends(schedule)
    return t.clip(low, high) if np.ndim(t) else min(max(t, low), high)
