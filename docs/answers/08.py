"""Chapter 8: the answers to its exercises, and their hidden tests, one point each. Both run in the chapter's own names."""

import numpy as np

from minidiff import grading

# ---- 1


def noise_left(t, next_t):
    return schedule.sigma(t - 1) - schedule.sigma(next_t)


def check_gaps():
    """for gaps of any size"""
    for t, s in ((150, 100), (60, 20), (199, 1)):
        real, told, now = schedule.sigma(t - 1), schedule.sigma(s), schedule.sigma(t)
        grading.same(noise_left(t, s), real - told, f"from {t}, next {s}", {
            "after the move x is at t - 1, not at t": now - told,
            "the other way round: really has minus is told": told - real,
            "the noise level is a standard deviation, sigma; this is its square": real**2 - told**2,
            "alpha is what is left of the picture; the noise level is sigma": schedule.alpha(t - 1) - schedule.alpha(s),
            "this is the ratio; asked is the difference": real / told,
            "the next t is where the denoiser is asked, not one before it": real - schedule.sigma(s - 1),
        })


# ---- 2


def kept(t, s, eta):
    (a_t, sigma_t), (a_s, sigma_s) = level(t), level(s)
    added = eta * sigma_s / sigma_t * (1 - (a_t / a_s) ** 2) ** 0.5
    return (sigma_s**2 - added**2) ** 0.5


def check_half_the_noise():
    """eta between 0 and 1, where its square counts"""
    for t, s, eta in ((150, 100, 0.5), (60, 20, 0.3), (199, 1, 1.0)):
        (a_t, sigma_t), (a_s, sigma_s) = level(t), level(s)
        full = sigma_s / sigma_t * (1 - (a_t / a_s) ** 2) ** 0.5
        added = eta * full
        grading.same(kept(t, s, eta), (sigma_s**2 - added**2) ** 0.5, f"kept from {t} to {s}, eta {eta}", {
            "variances add up, not deviations: kept^2 + added^2 = sigma_s^2": sigma_s - added,
            "this is kept^2: take the root": sigma_s**2 - added**2,
            "this is what is added; kept is the rest": added,
            "eta is part of what is added, so it is squared with it": (sigma_s**2 - eta * full**2) ** 0.5,
            "eta is missing": (sigma_s**2 - full**2) ** 0.5,
            "sigma_t for sigma_s: the level that has to come out is that of s": (sigma_t**2 - added**2) ** 0.5,
            "what is left of 1; it has to be what is left of sigma_s^2": (1 - added**2) ** 0.5,
            "sigma_s / sigma_t is missing from what is added": max(sigma_s**2 - eta**2 * (1 - (a_t / a_s) ** 2), 0) ** 0.5,
            "a square is missing in what is added: 1 - a_t^2 / a_s^2": (
                sigma_s**2 - (eta * sigma_s / sigma_t) ** 2 * (1 - a_t / a_s)) ** 0.5,
        })


def check_last_move():
    """the move to the finished picture, s = -1: nothing is kept"""
    grading.same(kept(10, -1, 0.7), 0.0, "kept in the move to -1")


# ---- 3


def ddim_minus(denoiser, x, moves):
    for t, s in moves:
        a_s, sigma_s = level(s)
        x0, eps = denoiser(x, t)
        x = a_s * x0 - sigma_s * eps
    return x


def check_two_moves():
    """two moves one after the other, the mistake in both"""
    x, moves = np.array([[1.0, -2.0], [0.5, 0.3]]), [(150, 80), (80, 10)]

    def denoiser(x, t, cond=None):
        return np.cos(x) + t / 200, np.sin(x) - t / 200

    def walk(sign, swap=False, told=None):
        z = x
        for t, s in moves:
            (a, sigma), (x0, eps) = level(t if swap else s), denoiser(z, s if told else t)
            z = a * x0 + sign * sigma * eps
        return z

    first = level(80)[0] * denoiser(x, 150)[0] - level(80)[1] * denoiser(x, 150)[1]
    grading.same(ddim_minus(denoiser, x, moves), walk(-1), "x", {
        "this is DDIM as it should be; the exercise asks for the minus": walk(1),
        "both signs are turned; only the one of eps": -walk(1),
        "the levels are those of s, where the move goes, not of t": walk(-1, swap=True),
        "the denoiser is asked at t, where x is, not at s": walk(-1, told=True),
        "only the first move was made: return after the loop": first,
    })
