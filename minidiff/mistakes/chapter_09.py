"""Chapter 9, the ODE and SDE view: known mistakes in scores, in solvers and in noise levels."""

import itertools
import math

import numpy as np

from ..diffusion import VP
from ..grading import same


class Flow:
    """A denoiser with a given field of eps, in the chapter's letters y = x / alpha and s; it keeps the levels it was asked."""

    schedule = VP()

    def __init__(self, eps):
        self.eps, self.asked = eps, []

    def __call__(self, x, t, cond=None):
        alpha = self.schedule.alpha(t)
        y, s = x / alpha, self.schedule.sigma(t) / alpha
        self.asked.append(s)
        return y - s * self.eps(y, s), self.eps(y, s)


def gaussian_score(answer):
    m, c, a, s = 0.5, 2.0, 0.8, 0.6
    x = np.array([-2.0, 0.1, 1.0, 3.0])
    v, gap = a**2 * c**2 + s**2, x - a * m
    same(answer(x, m, c, a, s), -gap / v, "the score", {
        "a sign: the score points back to the mean": gap / v,
        "the variance is alpha^2 c^2 + sigma^2; alpha is missing": -gap / (c**2 + s**2),
        "the variance of the data is missing: it is alpha^2 c^2 + sigma^2": -gap / s**2,
        "the noise's variance is missing: it is alpha^2 c^2 + sigma^2": -gap / (a**2 * c**2),
        "c is a standard deviation: its square counts": -gap / (a**2 * c + s**2),
        "deviations do not add up; variances do: alpha^2 c^2 + sigma^2": -gap / (a * c + s) ** 2,
        "divided by the deviation; the slope of -(x - mean)^2 / 2v is -(x - mean) / v": -gap / np.sqrt(v),
        "the mean has shrunk too: it is alpha m": -(x - m) / v,
        "this is the log-density; the score is its slope": -(gap**2) / (2 * v),
        "a factor 1/2 is left over from the log-density": -gap / (2 * v),
    })


def midpoint(answer):
    def eps(y, s):
        return np.sin(y) + s / 10

    y, s, after, asked = np.array([[1.0], [-2.0]]), 4.0, 1.0, Flow(eps)
    middle, slope = 2.0, eps(y, s)
    halfway, there = y + (middle - s) * slope, y + (after - s) * slope
    same(answer(asked, y, [s, after]), y + (after - s) * eps(halfway, middle), "y after one step", {
        "this is Euler's step: it looks at one slope only": there,
        "this is Heun's step: the second slope is taken halfway, not at the end, and not averaged": y
        + (after - s) * (slope + eps(there, after)) / 2,
        "the two slopes are averaged; the midpoint method goes with the second alone": y
        + (after - s) * (slope + eps(halfway, middle)) / 2,
        "halfway in s; it is halfway in log s, sqrt(s s')": y + (after - s) * eps(y - 1.5 * slope, 2.5),
        "it continues from the halfway point: return to y, then go the whole way": halfway + (after - s) * eps(halfway, middle),
        "from the halfway point the rest of the way; return to y, then go the whole way": halfway
        + (after - middle) * eps(halfway, middle),
        "the second slope is asked for at y itself, not at the halfway point": y + (after - s) * eps(y, middle),
        "the second slope is asked for at the old noise level": y + (after - s) * eps(halfway, s),
    }, rtol=1e-5)
    same(len(asked.asked), 2, "the number of times that the denoiser was asked in one step")


def dpm_1(answer):
    flow = Flow(lambda y, s: np.sin(y) / s)

    def walk(step):
        y = np.array([[1.0], [-3.0]])
        for s, after in ((4.0, 2.0), (2.0, 0.5)):
            y = step(y, y - np.sin(y), np.sin(y) / s, s, after)
        return y

    right = walk(lambda y, x0, eps, s, r: r / s * y + (1 - r / s) * x0)
    same(answer(flow, np.array([[1.0], [-3.0]]), [4.0, 2.0, 0.5]), right, "y after two steps", {
        "upside down: y shrinks with s' / s": walk(lambda y, x0, eps, s, r: s / r * y + (1 - s / r) * x0),
        "eps for x0: the second term has the guess of the clean image": walk(
            lambda y, x0, eps, s, r: r / s * y + (1 - r / s) * eps),
        "1 - e^(-h) is 1 - s' / s; this is h": walk(lambda y, x0, eps, s, r: r / s * y + np.log(s / r) * x0),
        "a sign: 1 - e^(-h), not e^(-h) - 1": walk(lambda y, x0, eps, s, r: r / s * y + (r / s - 1) * x0),
        "1 - e^h: h counts down in the exponent": walk(lambda y, x0, eps, s, r: r / s * y + (1 - s / r) * x0),
        "the guess is not weighted: its factor is 1 - s' / s": walk(lambda y, x0, eps, s, r: r / s * y + x0),
        "y does not shrink: its factor is s' / s": walk(lambda y, x0, eps, s, r: y + (1 - r / s) * x0),
    }, rtol=1e-5)


def churn(answer):
    s, g = 2.0, 0.3
    up = (1 + g) * s
    same(answer(s, g), math.sqrt(up**2 - s**2), f"churn({s}, {g})", {
        "deviations do not add up, variances do: sqrt(s_hat^2 - s^2)": up - s,
        "this is the level that comes out; asked is what is added": up,
        "this is the variance: take the root": up**2 - s**2,
        "s is missing: it is s sqrt((1 + gamma)^2 - 1)": math.sqrt((1 + g) ** 2 - 1),
        "the variances are added; what is added is their difference": math.sqrt(up**2 + s**2),
        "gamma^2 s^2 is the square of the difference; the difference of the squares has 2 gamma s^2 too": s * math.sqrt(g),
    })


# ---- build it: Karras' grid, EDM's sampler, DPM-Solver++(2M)


def edm_levels(answer):
    low, high, steps, rho = 0.5, 8.0, 4, 3.0
    ends = high ** (1 / rho), low ** (1 / rho)
    right = [*np.linspace(*ends, steps) ** rho, 0.0]
    same(answer(low, high, steps, rho), right, "the levels", {
        "the 0 at the end is missing: the last step goes from s_min to 0": right[:-1],
        "steps + 1 levels above 0, and then 0: `steps` of them are above 0": [*np.linspace(*ends, steps + 1) ** rho, 0.0],
        "the last one is s_min: `steps` levels end there, and the 0 follows": np.linspace(*ends, steps + 1) ** rho,
        "the straight line runs to 0; it ends at s_min, and the 0 follows": np.linspace(ends[0], 0, steps + 1) ** rho,
        "they rise; a sampler begins with the highest": [0.0, *right[-2::-1]],
        "roots and powers have changed places: a straight line in s^(1/rho)": [
            *np.linspace(high**rho, low**rho, steps) ** (1 / rho), 0.0],
        "this is a straight line in s; it is one in s^(1/rho)": [*np.linspace(high, low, steps), 0.0],
        "the power is missing: these are the s^(1/rho)": [*np.linspace(*ends, steps), 0.0],
        "rho is 7 whatever was asked for": [*np.linspace(high ** (1 / 7), low ** (1 / 7), steps) ** 7, 0.0],
    })


def edm_sampler(answer):
    levels, y = [4.0, 2.0, 0.5, 0.0], np.array([[1.0, -3.0]])

    def x0_of(y, s):
        return np.tanh(y) / (1 + s)

    def slope(y, s):
        return (y - x0_of(y, s)) / s

    def heun(y, s, after):
        there = y + (after - s) * slope(y, s)
        return y, there, slope(y, s), slope(there, after) if after else None

    def walk(combine, to_zero=lambda y, there, d, s: there):
        at = y
        for s, after in itertools.pairwise(levels):
            start, there, d, d_there = heun(at, s, after)
            at = combine(start, there, d, d_there, s, after) if after else to_zero(start, there, d, s)
        return at

    asked = []

    def denoise(y, s):
        asked.append(s)
        if s == 0:
            return y  # what is clean already
        return x0_of(y, s)

    right = walk(lambda y, there, d, e, s, r: y + (r - s) * (d + e) / 2)
    with np.errstate(all="ignore"):
        got = answer(denoise, y, levels, 0.0, np.random.default_rng(1))
    same(got, right, "y, without churn", {
        "this is Euler: the slope at the end of the step is not used": walk(lambda y, there, d, e, s, r: there),
        "the sum of the two slopes; Heun goes with their mean": walk(lambda y, there, d, e, s, r: y + (r - s) * (d + e)),
        "the second half starts from where Euler arrived; Heun returns to y": walk(
            lambda y, there, d, e, s, r: there + (r - s) * (d + e) / 2),
        "only the slope at the end; Heun goes with the mean of both": walk(lambda y, there, d, e, s, r: y + (r - s) * e),
        "a sign: the slope is (y - x0) / s, and s' - s is below 0": walk(
            lambda y, there, d, e, s, r: y - (r - s) * (d + e) / 2, lambda y, there, d, s: y + s * d),
        "NaN: the last step arrives at level 0, where the slope divides by 0; it is Euler's": np.full((1, 2), np.nan),
        "the last step, to level 0, takes half of the slope": walk(
            lambda y, there, d, e, s, r: y + (r - s) * (d + e) / 2, lambda y, there, d, s: y - s * d / 2),
        "the last step, to level 0, is missing": walk(
            lambda y, there, d, e, s, r: y + (r - s) * (d + e) / 2, lambda y, there, d, s: y),
    })
    same(asked, [4.0, 2.0, 2.0, 0.5, 0.5], "the levels at which the denoiser was asked")
    _churned(answer, denoise, slope, levels, y)


def _churned(answer, denoise, slope, levels, y):
    cap = math.sqrt(2) - 1

    def walk(added=lambda s, hat: math.sqrt(hat**2 - s**2), share=3, limit=cap, from_hat=True, noise=None):
        rng, at = np.random.default_rng(1), y
        for s, after in itertools.pairwise(levels):
            hat = s * (1 + min(0.9 / share, limit))
            draw = rng.standard_normal(y.shape) if noise is None else noise(rng)
            at = at + added(s, hat) * draw
            if not from_hat:
                hat = s
            d = slope(at, hat)
            there = at + (after - hat) * d
            at = at + (after - hat) * (d + slope(there, after)) / 2 if after else there
        return at

    same(answer(denoise, y, levels, 0.9, np.random.default_rng(1)), walk(), "y, with churn", {
        "churn is shared out among the steps: gamma is churn / steps": walk(share=1, limit=9),
        "churn is shared out among the steps: gamma is at most sqrt(2) - 1, and before that churn / steps": walk(share=1),
        "the number of steps is one less than that of levels": walk(share=4),
        "deviations do not add up: what is added has the variance s_hat^2 - s^2": walk(lambda s, hat: hat - s),
        "the variance of what is added stands for its deviation": walk(lambda s, hat: hat**2 - s**2),
        "after the noise the level is s_hat, and the step begins there": walk(from_hat=False),
        "no noise was added": walk(lambda s, hat: 0, from_hat=False),
        "the noise was not added, only the level was raised": walk(lambda s, hat: 0),
        "one number for all entries: draw noise of y's shape": walk(noise=lambda rng: rng.standard_normal()),
    })


def dpm_solver_pp(answer):
    alphas, sigmas, x = [0.3, 0.6, 0.9, 1.0], [0.95, 0.7, 0.3, 0.0], np.array([[1.0, -2.0]])

    def denoise(x, alpha, sigma):
        return np.tanh(x) * alpha + sigma / 4

    def walk(bend=lambda h, before: h / (2 * before), weight=lambda h: -math.expm1(-h), scale=lambda a: a, keep=lambda r: r):
        at, past, h_past = x, None, None
        for a, s, a_next, s_next in zip(alphas, sigmas, alphas[1:], sigmas[1:], strict=False):
            x0 = denoise(at, a, s)
            if s_next == 0:
                return x0  # alpha' is 1
            h = math.log(a_next / s_next) - math.log(a / s)
            bent = x0 if past is None else x0 + bend(h, h_past) * (x0 - past)
            at = keep(s_next / s) * at + scale(a_next) * weight(h) * bent
            past, h_past = x0, h
        return at

    asked = []

    def counted(x, alpha, sigma):
        asked.append(sigma)
        return denoise(x, alpha, sigma)

    with np.errstate(all="ignore"):
        got = answer(counted, x, alphas, sigmas)
    same(got, walk(), "x", {
        "this is the first order, DDIM: what was said a step before is not used": walk(bend=lambda h, before: 0),
        "the slope is upside down: the difference is multiplied by h / (2 h_before)": walk(
            bend=lambda h, before: before / (2 * h)),
        "the 1/2 in front of the difference is missing": walk(bend=lambda h, before: h / before),
        "steps of different length: the difference is multiplied by h / (2 h_before), not by 1/2": walk(
            bend=lambda h, before: 0.5),
        "a sign: the slope continues in the direction from the last guess to this one": walk(
            bend=lambda h, before: -h / (2 * before)),
        "alpha' is missing: x here is alpha x0 + sigma eps, not divided by alpha": walk(scale=lambda a: 1),
        "the weight is 1 - e^(-h); this is h": walk(weight=lambda h: h),
        "a sign: the weight is 1 - e^(-h), not e^(-h) - 1": walk(weight=lambda h: math.expm1(-h)),
        "1 - e^h: h counts down in the exponent": walk(weight=lambda h: -math.expm1(h)),
        "upside down: x shrinks with sigma' / sigma": walk(keep=lambda r: 1 / r),
        "NaN: at sigma' = 0 the step h is infinite; this step is of the first order": np.full((1, 2), np.nan),
        "infinite: at sigma' = 0 the step h is infinite; this step is of the first order": np.full((1, 2), np.inf),
    })
    same(asked, sigmas[:-1], "the levels at which the denoiser was asked")
