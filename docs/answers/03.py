"""Chapter 3: the answers to its exercises, and their hidden tests, one point each. Both run in the chapter's own names."""

import numpy as np

from minidiff import grading
from minidiff.diffusion import Schedule

WITHOUT = {  # what an answer may not call
    "log_snr": ["minidiff.diffusion.Schedule.log_snr"],
    "end_in_pure_noise": ["minidiff.diffusion.Schedule.rescale_zero_terminal_snr"],
}

# ---- 1


def log_snr(betas):
    alpha_bar = np.cumprod(1 - betas)
    return np.log(alpha_bar / (1 - alpha_bar))


def check_any_betas():
    """the ratio of the betas it is given, not of the chapter's"""
    betas = np.array([0.1, 0.3, 0.2])
    kept = np.array([0.9, 0.63, 0.504])
    mistakes = {
        "alpha_bar is the running product of 1 - beta; this is 1 - beta itself": np.log((1 - betas) / betas),
        "alpha_bar is the running product of 1 - beta, not of beta": np.log(np.cumprod(betas) / (1 - np.cumprod(betas))),
        "alpha_bar is a product of all 1 - beta; 1 minus the sum of the betas is only close to it": np.log(
            (1 - np.cumsum(betas)) / np.cumsum(betas)
        ),
        "SNR = alpha_bar / (1 - alpha_bar): the ratio of variances; square roots give half its logarithm": np.log(
            kept / (1 - kept)
        )
        / 2,
        "1 - alpha_bar, the variance of the noise, is missing below": np.log(kept),
        "these are the chapter's betas: use the argument": Schedule.linear(1000).log_snr(0),
    }
    grading.same(log_snr(betas), np.log(kept / (1 - kept)), "log_snr", mistakes)


# ---- 2


def jump(alpha_bar, s, t):
    a = np.sqrt(alpha_bar[t] / alpha_bar[s])
    return a, np.sqrt(1 - a**2)


def check_two_jumps_are_one():
    """a jump from 5 to 40 and one from 40 to 90 are a jump from 5 to 90"""
    alpha_bar = Schedule.cosine(100).alpha_bar
    (a1, b1), (a2, b2), (a, b) = (grading.parts(jump(alpha_bar, *pair), "a", "b") for pair in ((5, 40), (40, 90), (5, 90)))
    grading.same(a, np.sqrt(alpha_bar[90] / alpha_bar[5]), "a from 5 to 90")
    grading.same(a, a1 * a2, "a from 5 to 90, by two jumps")
    grading.same(b, np.sqrt((a2 * b1) ** 2 + b2**2), "b from 5 to 90, by two jumps")


def check_the_numbers():
    """a and b of one jump in another schedule"""
    alpha_bar = np.array([0.9, 0.8, 0.5, 0.2])
    a, b = grading.parts(jump(alpha_bar, 1, 3), "a", "b")
    grading.same(
        a,
        0.5,
        "a",
        {
            "a multiplies the picture, so it is a square root: sqrt(alpha_bar_t / alpha_bar_s)": 0.25,
            "only the betas after s have been at work: divide by alpha_bar_s": np.sqrt(0.2),
            "it is the other way round: alpha_bar_t / alpha_bar_s, with t the later step": 2.0,
        },
    )
    grading.same(
        b,
        np.sqrt(0.75),
        "b",
        {
            "b is a standard deviation: the root of the variance 1 - a^2": 0.75,
            "the noise already in x_s is part of x_s; b is only what is added after s": np.sqrt(0.8),
            "a^2 + b^2 = 1, not a + b = 1": 0.5,
        },
    )


# ---- 3


def betas_of(alpha_bar):
    return 1 - alpha_bar / np.append(1, alpha_bar[:-1])


def check_first_step():
    """the first beta too: before it, alpha_bar was 1"""
    alpha_bar = np.array([0.9, 0.63, 0.504])
    mistakes = {
        "this is alpha = alpha_bar_t / alpha_bar_(t-1); beta is 1 minus it": np.array([0.9, 0.7, 0.8]),
        "the step's share is a ratio, not a difference: divide by alpha_bar_(t-1)": np.array([0.1, 0.27, 0.126]),
        "before the first step alpha_bar was 1: the first beta is 1 - alpha_bar[0]": np.array([0.0, 0.3, 0.2]),
        "the last and the first are neighbours in np.roll; before the first step alpha_bar was 1": np.array(
            [1 - 0.9 / 0.504, 0.3, 0.2]
        ),
        "before the first step alpha_bar was 1: one beta is missing": np.array([0.3, 0.2]),
    }
    grading.same(betas_of(alpha_bar), [0.1, 0.3, 0.2], "betas", mistakes)
    grading.same(betas_of(np.array([0.5, 0.2, 0.0])), [0.5, 0.6, 1.0], "betas, where alpha_bar ends at 0", {
        "clipped: where nothing is left of the image, a beta may be 1": [0.5, 0.6, 0.999],
    })


# ---- 4


def end_in_pure_noise(alpha_bar):
    a = np.sqrt(alpha_bar)
    return ((a - a[-1]) * a[0] / (a[0] - a[-1])) ** 2


def check_both_ends():
    """the first is what it was, the last is 0, and what was given is not written into"""
    alpha_bar = np.array([0.81, 0.49, 0.25, 0.09])
    given = alpha_bar.copy()
    got = end_in_pure_noise(alpha_bar)
    a = np.array([0.9, 0.7, 0.5, 0.3])
    mistakes = {
        "shift and stretch the square root of alpha_bar, not alpha_bar": (given - 0.09) * 0.81 / 0.72,
        "this is its square root: return alpha_bar, a^2": (a - 0.3) * 0.9 / 0.6,
        "shifted, but not stretched: the first has to stay what it was": (a - 0.3) ** 2,
        "stretched to start at 1; the first has to stay what it was": ((a - 0.3) / 0.6) ** 2,
        "only the last entry is set to 0: shift and stretch them all": np.append(given[:-1], 0),
    }
    grading.same(got, ((a - 0.3) * 0.9 / 0.6) ** 2, "alpha_bar", mistakes)
    grading.same(alpha_bar, given, "the alpha_bar that was given", {"it was written into": got})
