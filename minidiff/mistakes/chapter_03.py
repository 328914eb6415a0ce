"""Chapter 3, the forward process: known mistakes in schedules and in jumps to a noise level."""

import numpy as np

from ..diffusion import Schedule
from ..grading import parts, same


def log_snr(answer):
    betas, kept = np.array([0.1, 0.3, 0.2]), np.array([0.9, 0.63, 0.504])
    product, total = np.cumprod(betas), np.cumsum(betas)
    same(answer(betas), np.log(kept / (1 - kept)), "log_snr", {
        "alpha_bar is the running product of 1 - beta; this is 1 - beta itself": np.log((1 - betas) / betas),
        "alpha_bar is the running product of 1 - beta, not of beta": np.log(product / (1 - product)),
        "alpha_bar is a product of all 1 - beta; 1 minus the sum of the betas is only close to it": np.log((1 - total) / total),
        "SNR = alpha_bar / (1 - alpha_bar): the ratio of variances; square roots give half its logarithm": np.log(
            kept / (1 - kept)) / 2,
        "1 - alpha_bar, the variance of the noise, is missing below": np.log(kept),
        "this is the ratio itself; its logarithm is asked for": kept / (1 - kept),
        "these are the chapter's betas, all thousand of them: use the argument": _of(Schedule.linear(1000)),
    })


def jump(answer):
    a, b = parts(answer(np.array([0.9, 0.8, 0.5, 0.2]), 1, 3), "a", "b")
    same(a, 0.5, "a", {
        "a multiplies the image, so it is a square root: sqrt(alpha_bar_t / alpha_bar_s)": 0.25,
        "only the betas after s have been at work: divide by alpha_bar_s": np.sqrt(0.2),
        "it is the other way round: alpha_bar_t / alpha_bar_s, with t the later step": 2.0,
        "alpha_bar counts from 0 here: alpha_bar[t] is what is left after step t": np.sqrt(0.5 / 0.9),
        "the difference of the two; what steps keep is multiplied, so divide": np.sqrt(0.6),
        "nothing is left of the image, but the betas between s and t keep some": 0.0,
        "nothing is lost of the image, but the betas between s and t take some": 1.0,
    })
    same(b, np.sqrt(0.75), "b", {
        "b is a standard deviation: the root of the variance 1 - a^2": 0.75,
        "the noise already in x_s is part of x_s; b is only what is added after s": np.sqrt(0.8),
        "a^2 + b^2 = 1, not a + b = 1": 0.5,
        "the noise of x_s shrinks by a as well: b^2 is 1 - a^2, not the difference of the two variances": np.sqrt(0.6),
    })


def betas_of(answer):
    same(answer(np.array([0.9, 0.63, 0.504])), [0.1, 0.3, 0.2], "betas", {
        "this is alpha = alpha_bar_t / alpha_bar_(t-1); beta is 1 minus it": np.array([0.9, 0.7, 0.8]),
        "the step's share is a ratio, not a difference: divide by alpha_bar_(t-1)": np.array([0.1, 0.27, 0.126]),
        "before the first step alpha_bar was 1: the first beta is 1 - alpha_bar[0]": np.array([0.0, 0.3, 0.2]),
        "the last and the first are neighbours in np.roll; before the first step alpha_bar was 1": np.array(
            [1 - 0.9 / 0.504, 0.3, 0.2]),
        "before the first step alpha_bar was 1: one beta is missing": np.array([0.3, 0.2]),
        "these are the chapter's betas, all thousand of them: use the argument": Schedule.linear(1000).betas,
    })
    same(answer(np.array([0.5, 0.2, 0.0])), [0.5, 0.6, 1.0], "betas, where alpha_bar ends at 0", {
        "clipped: where nothing is left of the image, a beta may be 1": [0.5, 0.6, 0.999],
    })


def end_in_pure_noise(answer):
    alpha_bar, a = np.array([0.81, 0.49, 0.25, 0.09]), np.array([0.9, 0.7, 0.5, 0.3])
    same(answer(alpha_bar), ((a - 0.3) * 0.9 / 0.6) ** 2, "alpha_bar", {
        "shift and stretch the square root of alpha_bar, not alpha_bar": (alpha_bar - 0.09) * 0.81 / 0.72,
        "this is its square root: return alpha_bar, a^2": (a - 0.3) * 0.9 / 0.6,
        "shifted, but not stretched: the first has to stay what it was": (a - 0.3) ** 2,
        "stretched to start at 1; the first has to stay what it was": ((a - 0.3) / 0.6) ** 2,
        "only the last entry is set to 0: shift and stretch them all": np.append(alpha_bar[:-1], 0),
        "stretched by the first and not by what is left of it after the shift": ((a - 0.3) / 0.9) ** 2,
    })


# ---- build it: a schedule, and the jump of a whole batch


def cosine_schedule(answer):
    f = np.cos((np.arange(5) / 4 + 0.008) / 1.008 * np.pi / 2) ** 2
    unclipped, plain = 1 - f[1:] / f[:-1], np.cos(np.arange(5) / 4 * np.pi / 2) ** 2
    betas, alpha_bar = parts(answer(4), "betas", "alpha_bar")
    right = np.minimum(unclipped, 0.999)
    of_thousand = np.cos((np.arange(5) / 1000 + 0.008) / 1.008 * np.pi / 2) ** 2
    ends_late = np.cos((np.arange(4) / 4 + 0.008) / 1.008 * np.pi / 2) ** 2
    same(betas, right, "betas", {
        "the last is not clipped: no beta is above 0.999": unclipped,
        "these are ratios of alpha_bar; a beta is 1 minus its ratio": 1 - unclipped,
        "these are alphas; a beta is 1 minus its alpha": 1 - right,
        "these are the first steps of a thousand; T is the argument": 1 - of_thousand[1:] / of_thousand[:-1],
        "these are alpha_bar: the order is betas, alpha_bar": np.cumprod(1 - right),
        "the shift s = 0.008 is missing in f": np.minimum(1 - plain[1:] / plain[:-1], 0.999),
        "the cosine is not squared": np.minimum(1 - np.sqrt(f[1:] / f[:-1]), 0.999),
        "f has T + 1 values, from t = 0 to t = T; one beta is missing": 1 - ends_late[1:] / ends_late[:-1],
        "the first is measured from f(0), and there alpha_bar is 1": np.append(0, right[1:]),
    })
    same(alpha_bar, np.cumprod(1 - right), "alpha_bar", {
        "alpha_bar is the product of 1 - beta with the betas that are returned, the clipped ones": f[1:] / f[0],
        "this is f, not divided by f(0)": f[1:],
        "this is 1 - beta; alpha_bar is its running product": 1 - right,
        "one entry too many: alpha_bar of t = 0, which is 1, is left out": f / f[0],
    })


def q_sample(answer):
    alpha_bar, t = np.array([0.81, 0.64, 0.36, 0.09]), np.array([2, 0, 3])
    rng = np.random.default_rng(9)
    x0, eps = rng.standard_normal((2, 3, 3))
    a, s = np.sqrt(alpha_bar[t]), np.sqrt(1 - alpha_bar[t])
    column = a[:, None], s[:, None]
    before = alpha_bar[t - 1][:, None]
    same(answer(alpha_bar, x0, t, eps), column[0] * x0 + column[1] * eps, "x_t", {
        "the t of a sample went to a column; one t for each sample, so it needs an axis of length 1 behind": a * x0 + s * eps,
        "all samples have the first one's t; one t for each sample": a[0] * x0 + s[0] * eps,
        "alpha_bar is a variance; x0 is multiplied by its root": column[0] ** 2 * x0 + column[1] * eps,
        "1 - alpha_bar is a variance; the noise is multiplied by its root": column[0] * x0 + column[1] ** 2 * eps,
        "both factors are variances: their roots are missing": column[0] ** 2 * x0 + column[1] ** 2 * eps,
        "the roots of alpha_bar and 1 - alpha_bar have changed places": column[1] * x0 + column[0] * eps,
        "the noise is subtracted": column[0] * x0 - column[1] * eps,
        "the factor of the noise is 1 less the image's; their squares add up to 1": column[0] * x0 + (1 - column[0]) * eps,
        "alpha_bar[t] is the entry of t; this takes the one before": np.sqrt(before) * x0 + np.sqrt(1 - before) * eps,
        "the noise is missing": column[0] * x0,
        "reshaped for images; x0 may have any number of axes": column[0][:, None, None] * x0 + column[1][:, None, None] * eps,
    })
    x0, eps = rng.standard_normal((2, 3, 2, 2, 1))
    images = np.sqrt(alpha_bar[t]).reshape(3, 1, 1, 1) * x0 + np.sqrt(1 - alpha_bar[t]).reshape(3, 1, 1, 1) * eps
    same(answer(alpha_bar, x0, t, eps), images, "x_t of images")


def _of(schedule):
    return np.log(schedule.alpha_bar / (1 - schedule.alpha_bar))
