"""Chapter 7, DDPM: known mistakes in one step back, and in the walk of all the steps."""

import numpy as np

from ..diffusion import Schedule
from ..grading import WrongAnswer, same


def mean_from_eps(answer):
    x, eps = np.array([[1.0, -2.0], [0.5, 3.0]]), np.array([[0.3, 1.0], [-1.0, 0.2]])
    beta, alpha_bar, *_ = _tables(30)
    for t in (2, 20):
        b, a = beta[t], alpha_bar[t]
        same(answer(x, eps, t, beta, alpha_bar), (x - b / np.sqrt(1 - a) * eps) / np.sqrt(1 - b), f"the mean at t = {t}", {
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
            "sqrt(beta_t) for beta_t": (x - np.sqrt(b) / np.sqrt(1 - a) * eps) / np.sqrt(1 - b),
        })


def too_much(answer):
    alpha_bar = Schedule.cosine(50).alpha_bar
    for t in (1, 7, 40):
        now, before = alpha_bar[t], alpha_bar[t - 1]
        same(answer(alpha_bar, t), 1 - (1 - before) / (1 - now), f"the share at t = {t}", {
            "this is what is right of it, beta_tilde / beta; too much is 1 minus that": (1 - before) / (1 - now),
            "numerator and denominator have changed places": 1 - (1 - now) / (1 - before),
            "alpha_bar for 1 - alpha_bar: variances of the noise are compared": 1 - now / before,
            "this is the absolute excess; divide it by beta_t": (1 - now / before) * (1 - (1 - before) / (1 - now)),
            "the step before t is t - 1, not t + 1": 1 - (1 - now) / (1 - alpha_bar[t + 1]),
            "roots: the question is about variances": 1 - np.sqrt((1 - before) / (1 - now)),
        })


def walk_from(answer):
    _, _, c_x0, c_xt, beta_tilde = _tables(20)
    asked, x = [], np.array([[1.0, -2.0], [0.3, 0.7]])

    def denoiser(x, t, cond=None):
        asked.append(t)
        return np.tanh(x) + 0.01 * np.asarray(t), x

    def walk(std, last=0.0, first=6):
        z, draws = x, _Draws()
        for t in range(first, -1, -1):
            scale = std[t] if t else last
            z = c_x0[t] * (np.tanh(z) + 0.01 * t) + c_xt[t] * z
            z = z + scale * draws.standard_normal(x.shape) if scale else z
        return z

    got = answer(denoiser, x, 6, c_x0, c_xt, beta_tilde, _Draws())
    _asked(asked, [6, 5, 4, 3, 2, 1, 0], {
        20: "it begins at T - 1; this image is at noise level t, so begin at t",
        6: "the first step is the one from t itself, and the last the one from 0",
    })
    same(got, walk(np.sqrt(beta_tilde)), "x", {
        "beta_tilde is a variance: noise is multiplied by its root": walk(beta_tilde),
        "no noise is added on the way": walk(np.zeros(7)),
        "noise is added after the last step too: the image is finished there": walk(np.sqrt(beta_tilde), 1.0),
        "the step noise is that of the next time, t - 1": walk(np.sqrt(np.append(0, beta_tilde[:-1]))),
        "it is the last guess of x0 alone": np.tanh(walk(np.sqrt(beta_tilde), first=1)),
        "nothing has moved: the next step has to use the new x": x,
    })


# ---- build it: the mean, the noise and the loop of a DDPM sampler


def step_mean(answer):
    x, eps = np.array([[1.0, -2.0, 0.1], [0.5, 3.0, -0.2]]), np.array([[0.3, 1.0, 0.4], [-1.0, 0.2, -0.5]])
    beta, a, c_x0, c_xt, _ = _tables(30)
    for t in (12, 0):
        guess, before = (x - np.sqrt(1 - a[t]) * eps) / np.sqrt(a[t]), a[t - 1] if t else 1.0
        for clip in (None, 0.6):
            x0 = guess if clip is None else guess.clip(-clip, clip)
            what = f"the mean at t = {t}" + ("" if clip is None else f", clip {clip}")
            same(answer(x, eps, t, beta, clip), c_x0[t] * x0 + c_xt[t] * x, what, {
                "clip is not used": c_x0[t] * guess + c_xt[t] * x,
                "the mean is clipped; clip the guess of x0": (c_x0[t] * guess + c_xt[t] * x).clip(-0.6, 0.6),
                "x is clipped; clip the guess of x0": c_x0[t] * guess + c_xt[t] * x.clip(-0.6, 0.6),
                "clipped to [0, clip]; it is [-clip, clip]": c_x0[t] * guess.clip(0, 0.6) + c_xt[t] * x,
                "this is the guess of x0; the mean lies between it and x": x0,
                "the two coefficients have changed places": c_xt[t] * x0 + c_x0[t] * x,
                "the guess of x0 lacks the division by sqrt(alpha_bar_t)": c_x0[t] * np.sqrt(a[t]) * guess + c_xt[t] * x,
                "alpha_bar_t stands for alpha_bar one step earlier": (
                    np.sqrt(a[t]) * beta[t] * x0 / (1 - a[t]) + np.sqrt(1 - beta[t]) * x),
                "alpha_bar one step before the first is 1, not the last of the list": (
                    np.sqrt(a[t - 1]) * beta[t] * x0 + np.sqrt(1 - beta[t]) * (1 - a[t - 1]) * x) / (1 - a[t]),
                "the root of alpha_bar one step earlier is missing": (before * beta[t] * x0 / (1 - a[t])) + c_xt[t] * x,
            })


def step_std(answer):
    beta, a, _, _, small = _tables(6)
    early = np.append(beta[0], small[1:])
    same(answer(beta, "small"), np.sqrt(small), 'the table for "small"', {
        "these are variances; asked are standard deviations": small,
        "this is the table of \"large\"": np.sqrt(np.append(0, beta[1:])),
        "this is the table of beta, and it is not 0 at t = 0": np.sqrt(beta),
        "at t = 0 the image is finished: no noise": np.sqrt(early),
        "1 - alpha_bar of now and of one step earlier have changed places": np.sqrt(
            np.append(0, beta[1:] * (1 - a[1:]) / (1 - a[:-1]))),
        "alpha_bar for 1 - alpha_bar": np.sqrt(np.append(0, beta[1:] * a[:-1] / a[1:])),
    })
    same(answer(beta, "large"), np.sqrt(np.append(0, beta[1:])), 'the table for "large"', {
        "these are variances; asked are standard deviations": np.append(0, beta[1:]),
        "at t = 0 the image is finished: no noise": np.sqrt(beta),
        "this is the table of \"small\": kind is not used": np.sqrt(small),
    })


def ddpm_sampler(answer):
    asked, drawn, std = [], _Draws(), np.array([0.0, 0.3, 0.2, 0.5])

    def model(x, t):
        asked.append(t)
        return np.tanh(x) + 0.01 * np.reshape(t, (-1, 1))

    def mean(x, eps, t):
        return (1 - 0.1 * t) * x - 0.2 * eps

    def walk(std, times=(3, 2, 1, 0), last=0.0, start=None, again=False):
        draws = _Draws()
        x = draws.standard_normal((2, 3)) if start is None else start
        kept = draws.standard_normal((2, 3)) if again else None
        for t in times:
            x = mean(x, np.tanh(x) + 0.01 * t, t)
            scale = std[t] if t else last
            x = x + scale * (kept if again else draws.standard_normal((2, 3))) if scale else x
        return x

    got = answer(model, mean, std, (2, 3), drawn)
    wrong = [t for t in asked if np.shape(t) != (2,)]
    if wrong:
        raise WrongAnswer(f"the model's t has shape {np.shape(wrong[0])}, expected (2,): one t for each image")
    _asked([int(t[0]) for t in asked], [3, 2, 1, 0], {3: "the first step is the one from T - 1, and the last the one from 0"})
    same(got, walk(std), "x", {
        "no noise is added on the way": walk(0 * std),
        "noise is added after the last step too: the image is finished there": walk(std, last=1.0),
        "std is a deviation already; its root is taken": walk(np.sqrt(std)),
        "std is a deviation already; it is squared": walk(std**2),
        "the step noise is that of t - 1; a step from t has std[t]": walk(np.append(0, std[:-1])),
        "it starts at zeros; x_T is drawn": walk(std, start=np.zeros((2, 3))),
        "the same noise in every step; each step draws its own": walk(std, again=True),
        "the mean is added to x; it takes the place of x": _added(mean, std),
        "the last step is missing": walk(std, times=(3, 2, 1)),
    })
    if drawn.count != 4:
        raise WrongAnswer(f"noise was drawn {drawn.count} times, expected 4: x_T, and none after the last step")


class _Draws:
    """A generator whose numbers are known."""

    count = 0

    def standard_normal(self, size=None, dtype=np.float64, **_):
        self.count += 1
        return np.cos(3.0 * self.count + np.arange(np.prod(size, dtype=int))).reshape(size).astype(dtype)


def _added(mean, std):
    draws = _Draws()
    x = draws.standard_normal((2, 3))
    for t in (3, 2, 1, 0):
        x = x + mean(x, np.tanh(x) + 0.01 * t, t) + (std[t] * draws.standard_normal((2, 3)) if t else 0)
    return x


def _asked(asked, right, reasons):
    """WrongAnswer if the model was called at other times than these."""
    if [int(np.ravel(t)[0]) for t in asked] != right:
        shown = ", ".join(str(np.ravel(t)[0]) for t in asked[:9])
        reason = "upwards: the walk begins at the noisy end" if list(asked) == right[::-1] else "each time is asked once"
        raise WrongAnswer(f"asked at t = {shown}, expected {', '.join(map(str, right))}: {reasons.get(len(asked), reason)}")


def _tables(T):
    """beta, alpha_bar, c_x0, c_xt, beta_tilde of a linear schedule."""
    beta = Schedule.linear(T, scale_to_T=True).betas
    alpha_bar = np.cumprod(1 - beta)
    before = np.append(1.0, alpha_bar[:-1])
    c_x0, c_xt = np.sqrt(before) * beta / (1 - alpha_bar), np.sqrt(1 - beta) * (1 - before) / (1 - alpha_bar)
    return beta, alpha_bar, c_x0, c_xt, beta * (1 - before) / (1 - alpha_bar)
