"""Chapter 7: the answers to its exercises, and their hidden tests, one point each. Both run in the chapter's own names."""

import numpy as np

from minidiff import grading
from minidiff.diffusion import Schedule

# ---- 1


def mean_from_eps(x, eps, t):
    return (x - beta[t] / np.sqrt(1 - alpha_bar[t]) * eps) / np.sqrt(1 - beta[t])


def check_early_and_late():
    """the mean, at times that you do not see"""
    x, eps = np.array([[1.0, -2.0], [0.5, 3.0]]), np.array([[0.3, 1.0], [-1.0, 0.2]])
    for t in (1, len(beta) // 2, len(beta) - 1):
        b, a = beta[t], alpha_bar[t]
        grading.same(mean_from_eps(x, eps, t), (x - b / np.sqrt(1 - a) * eps) / np.sqrt(1 - b), f"the mean at t = {t}", {
            "its factor of eps is beta_t / sqrt(1 - alpha_bar_t); the root is missing": (
                x - b / (1 - a) * eps) / np.sqrt(1 - b),
            "beta_t is missing: this takes all the noise away in one step": (x - np.sqrt(1 - a) * eps) / np.sqrt(1 - b),
            "this is the guess of x0, not the mean one step back": (x - np.sqrt(1 - a) * eps) / np.sqrt(a),
            "the factor in front has alpha_t = 1 - beta_t, one step's, not alpha_bar_t": (
                x - b / np.sqrt(1 - a) * eps) / np.sqrt(a),
            "the factor in front is 1 / sqrt(alpha_t); the root is missing": (x - b / np.sqrt(1 - a) * eps) / (1 - b),
            "multiplied by sqrt(alpha_t); the step back divides": (x - b / np.sqrt(1 - a) * eps) * np.sqrt(1 - b),
            "the noise is added; the step back takes it away": (x + b / np.sqrt(1 - a) * eps) / np.sqrt(1 - b),
            "eps is not scaled: its factor is beta_t / sqrt(1 - alpha_bar_t)": (x - eps) / np.sqrt(1 - b),
        })


# ---- 2


def too_much(alpha_bar, t):
    return 1 - (1 - alpha_bar[t - 1]) / (1 - alpha_bar[t])


def check_another_schedule():
    """from the alpha_bar that is given, not the chapter's"""
    alpha_bar = Schedule.cosine(50).alpha_bar
    for t in (1, 7, 49):
        now, before = alpha_bar[t], alpha_bar[t - 1]
        grading.same(too_much(alpha_bar, t), 1 - (1 - before) / (1 - now), f"the share at t = {t}", {
            "this is what is right of it, beta_tilde / beta; too much is 1 minus that": (1 - before) / (1 - now),
            "numerator and denominator have changed places": 1 - (1 - now) / (1 - before),
            "alpha_bar for 1 - alpha_bar: variances of the noise are compared": 1 - now / before,
            "this is the absolute excess; divide it by beta_t": (1 - now / before) * (1 - (1 - before) / (1 - now)),
            "the step before t is t - 1, not t + 1": 1 - (1 - now) / (1 - alpha_bar[min(t + 1, 49)]),
            "roots: the question is about variances": 1 - np.sqrt((1 - before) / (1 - now)),
        })


# ---- 3


def walk_from(denoiser, x, t, rng):
    for s in range(t, -1, -1):
        x0, _ = denoiser(x, s)
        x = c_x0[s] * x0 + c_xt[s] * x
        if s > 0:
            x = x + np.sqrt(beta_tilde[s]) * rng.standard_normal(x.shape)
    return x


def check_which_steps():
    """the times it asks at, and the noise it adds"""
    asked, drawn = [], []

    class Draws:
        def standard_normal(self, size=None, dtype=np.float64):
            drawn.append(size)
            return np.full(size, (-1.0) ** len(drawn))

    def denoiser(x, t, cond=None):
        asked.append(t)
        return 0.5 * x, x

    x = np.array([[1.0, -2.0]])
    got, right = walk_from(denoiser, x.copy(), 6, Draws()), x
    for number, s in enumerate(range(6, -1, -1)):
        right = c_x0[s] * 0.5 * right + c_xt[s] * right + (s > 0) * np.sqrt(beta_tilde[s]) * (-1.0) ** (number + 1)
    if asked != [6, 5, 4, 3, 2, 1, 0]:
        told = {
            len(beta): "it begins at T - 1; this picture is at noise level t, so begin at t",
            6: "the first step is the one from t itself, and the last the one from 0",
            7: "range(t, ...) begins at t, and the last time asked is 0",
        }.get(len(asked), "each time from t down to 0 is asked once")
        raise grading.WrongAnswer(f"asked at t = {asked[:9]}, expected 6, 5, 4, 3, 2, 1, 0: {told}")
    if got is not None and len(drawn) not in (6, 7):
        raise grading.WrongAnswer(f"noise was drawn {len(drawn)} times, expected 6: after each step but the last")
    noise = [np.sqrt(beta_tilde[s]) for s in range(7)]

    def walk(scale, last=0.0):
        z = x
        for number, s in enumerate(range(6, -1, -1)):
            z = c_x0[s] * 0.5 * z + c_xt[s] * z + (scale[s] if s else last) * (-1.0) ** (number + 1)
        return z

    grading.same(got, right, "x", {
        "beta_tilde is a variance: noise is multiplied by its root": walk(beta_tilde),
        "step noise of variance beta_t; it is beta_tilde_t": walk(np.sqrt(beta)),
        "no noise is added on the way": walk(np.zeros(7)),
        "noise is added after the last step too: the picture is finished there": walk(noise, np.sqrt(beta[0])),
        "it is the first guess of x0": 0.5 * x,
    })


def check_does_not_write_into_x():
    """the x that it was given is what it was"""
    x = np.ones((3, 2))
    walk_from(perfect, x, 3, np.random.default_rng(0))
    grading.same(x, np.ones((3, 2)), "the x that was given", {"it was written into (x += ..., x *= ...)": x})
    grading.same(np.shape(walk_from(perfect, x, 3, np.random.default_rng(0))), (3, 2), "the shape of the answer")
