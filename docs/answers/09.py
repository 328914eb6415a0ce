"""Chapter 9: the answers to its exercises, and their hidden tests, one point each. Both run in the chapter's own names."""

import math

import numpy as np

from minidiff import grading

# ---- 1


def gaussian_score(x, m, c, alpha, sigma):
    return -(x - alpha * m) / (alpha**2 * c**2 + sigma**2)


def check_several_levels():
    """early, late, and for wide and narrow data"""
    x = np.array([-2.0, 0.1, 1.0, 3.0])
    for m, c, a, s in ((0.5, 2.0, 0.99, 0.14), (-1.0, 0.1, 0.6, 0.8), (2.0, 1.5, 0.1, 0.995)):
        v, gap = a**2 * c**2 + s**2, x - a * m
        grading.same(gaussian_score(x, m, c, a, s), -gap / v, f"the score for m = {m}, c = {c}, alpha = {a}", {
            "a sign: the score points back to the mean": gap / v,
            "the variance is alpha^2 c^2 + sigma^2; alpha is missing": -gap / (c**2 + s**2),
            "the variance of the data is missing: it is alpha^2 c^2 + sigma^2": -gap / s**2,
            "the noise's variance is missing: it is alpha^2 c^2 + sigma^2": -gap / (a**2 * c**2),
            "c is a standard deviation: its square counts": -gap / (a**2 * c + s**2),
            "divided by the deviation; the slope of -(x - mean)^2 / 2v is -(x - mean) / v": -gap / np.sqrt(v),
            "the mean has shrunk too: it is alpha m": -(x - m) / v,
            "this is the log-density; the score is its slope": -(gap**2) / (2 * v),
            "a factor 1/2 is left over from the log-density": -gap / (2 * v),
        })


# ---- 2


def midpoint(denoiser, y, levels):
    for s, after in zip(levels[:-1], levels[1:], strict=True):
        middle = math.sqrt(s * after)
        halfway = y + (middle - s) * ask(denoiser, y, s)[1]
        y = y + (after - s) * ask(denoiser, halfway, middle)[1]
    return y


def check_one_step():
    """one step by hand, and what it costs"""
    asked, y = [], np.array([[1.0], [-2.0]])

    def eps(z, s):
        return np.sin(z) + s / 10

    class Asked:
        schedule = gauss.schedule

        def __call__(self, x, t, cond=None):
            s = schedule_level(self.schedule, t)
            asked.append(s)
            z = x / self.schedule.alpha(t)
            return z - s * eps(z, s), eps(z, s)

    def schedule_level(schedule, t):
        return schedule.sigma(t) / schedule.alpha(t)

    s, after = 4.0, 1.0
    middle, slope = math.sqrt(s * after), eps(y, s)
    halfway, there = y + (middle - s) * slope, y + (after - s) * slope
    grading.same(midpoint(Asked(), y, [s, after]), y + (after - s) * eps(halfway, middle), "y after one step", {
        "this is Euler's step: it looks at one slope only": there,
        "this is Heun's step: the second slope is taken halfway, not at the end, and not averaged": y
        + (after - s) * (slope + eps(there, after)) / 2,
        "the two slopes are averaged; the midpoint method goes with the second alone": y
        + (after - s) * (slope + eps(halfway, middle)) / 2,
        "halfway in s; it is halfway in log s, sqrt(s s')": y
        + (after - s) * eps(y + ((s + after) / 2 - s) * slope, (s + after) / 2),
        "it goes on from the halfway point: return to y, then go the whole way": halfway + (after - s) * eps(halfway, middle),
        "from the halfway point the rest of the way; return to y, then go the whole way": halfway
        + (after - middle) * eps(halfway, middle),
        "the second slope is asked for at y itself, not at the halfway point": y + (after - s) * eps(y, middle),
        "the second slope is asked for at the old noise level": y + (after - s) * eps(halfway, s),
    }, rtol=1e-5)
    grading.same(len(asked), 2, "questions asked in one step")


# ---- 3


def dpm_1(denoiser, y, levels):
    for s, after in zip(levels[:-1], levels[1:], strict=True):
        y = after / s * y + (1 - after / s) * ask(denoiser, y, s)[0]
    return y


def check_two_steps():
    """two steps with another denoiser"""
    class Other:
        schedule = gauss.schedule

        def __call__(self, x, t, cond=None):
            return np.cos(x), (x - self.schedule.alpha(t) * np.cos(x)) / self.schedule.sigma(t)

    def walk(step):
        y = np.array([[1.0], [-3.0]])
        for s, after in ((4.0, 2.0), (2.0, 0.5)):
            y = step(y, *ask(Other(), y, s), s, after)
        return y

    grading.same(dpm_1(Other(), np.array([[1.0], [-3.0]]), [4.0, 2.0, 0.5]), walk(
        lambda y, x0, eps, s, r: r / s * y + (1 - r / s) * x0), "y after two steps", {
        "upside down: y shrinks with s' / s": walk(lambda y, x0, eps, s, r: s / r * y + (1 - s / r) * x0),
        "eps for x0: the second term has the guess of the picture": walk(
            lambda y, x0, eps, s, r: r / s * y + (1 - r / s) * eps),
        "1 - e^(-h) is 1 - s' / s; this is h": walk(lambda y, x0, eps, s, r: r / s * y + np.log(s / r) * x0),
        "a sign: 1 - e^(-h), not e^(-h) - 1": walk(lambda y, x0, eps, s, r: r / s * y + (r / s - 1) * x0),
        "1 - e^h: h counts down in the exponent": walk(lambda y, x0, eps, s, r: r / s * y + (1 - s / r) * x0),
        "the guess is not weighted: its factor is 1 - s' / s": walk(lambda y, x0, eps, s, r: r / s * y + x0),
    })


# ---- 4


def churn(s, gamma):
    return s * math.sqrt((1 + gamma) ** 2 - 1)


def check_levels():
    """at levels that you do not see"""
    for s, g in ((0.5, 0.1), (3.0, 0.4), (80.0, 0.05)):
        up = (1 + g) * s
        grading.same(churn(s, g), math.sqrt(up**2 - s**2), f"churn({s}, {g})", {
            "deviations do not add up, variances do: sqrt(s_hat^2 - s^2)": up - s,
            "this is the level that comes out; asked is what is added": up,
            "this is the variance: take the root": up**2 - s**2,
            "s is missing: it is s sqrt((1 + gamma)^2 - 1)": math.sqrt((1 + g) ** 2 - 1),
            "the variances are added; what is added is their difference": math.sqrt(up**2 + s**2),
        })
