"""Chapter 9: the answers to its exercises, and their hidden tests, one point each. Both run in the chapter's own names."""

import math

import numpy as np

from minidiff import grading, samplers
from minidiff.diffusion import VP, GaussianMixture

WITHOUT = {  # what an answer may not call
    "gaussian_score": ["minidiff.diffusion.GaussianMixture.score"],
    "midpoint": ["heun"],
    "dpm_1": ["euler", "dpmpp_2m", "minidiff.samplers.*"],
    "edm_levels": ["karras", "minidiff.diffusion.karras_sigmas"],
    "edm_sampler": ["heun", "minidiff.samplers.*"],
    "dpm_solver_pp": ["dpmpp_2m", "minidiff.samplers.*"],
}

# ---- 1


def gaussian_score(x, m, c, alpha, sigma):
    return -(x - alpha * m) / (alpha**2 * c**2 + sigma**2)


def check_several_levels():
    """a batch of images, early and late, for wide and narrow data; and data of one image alone"""
    x = np.linspace(-2, 3, 24).reshape(2, 3, 4, 1)
    for m, c, a, s in ((0.5, 2.0, 0.99, 0.14), (-1.0, 0.1, 0.6, 0.8), (2.0, 1.5, 0.1, 0.995)):
        def log_p(x, m=m, c=c, a=a, s=s):
            return -((x - a * m) ** 2) / (2 * ((a * c) ** 2 + s * s))

        slope = (log_p(x + 0.5) - log_p(x - 0.5)) / 1.0  # exact for a parabola
        grading.same(gaussian_score(x, m, c, a, s), slope, f"the score for m = {m}, c = {c}, alpha = {a}")
    grading.same(gaussian_score(np.array([1.0, -2.0]), 3.0, 0.0, 0.5, 0.5), [2.0, 14.0], "the score for c = 0")


# ---- 2


def midpoint(denoiser, y, levels):
    for s, after in zip(levels[:-1], levels[1:], strict=True):
        middle = math.sqrt(s * after)
        halfway = y + (middle - s) * ask(denoiser, y, s)[1]
        y = y + (after - s) * ask(denoiser, halfway, middle)[1]
    return y


def check_one_step():
    """two steps of different length, by a formula, for a batch of images"""
    class Linear:
        schedule = VP()

        def __call__(self, x, t, cond=None):
            alpha = self.schedule.alpha(t)
            y, s = x / alpha, self.schedule.sigma(t) / alpha
            eps = s * y / 40
            return y - s * eps, eps

    y, factor = np.linspace(-2, 2, 12).reshape(2, 3, 2, 1), 1.0
    for s, middle, after in ((9.0, 6.0, 4.0), (4.0, 2.0, 1.0)):
        factor *= 1 + (after - s) * middle / 40 * (1 + (middle - s) * s / 40)
    grading.same(midpoint(Linear(), y, [9.0, 4.0, 1.0]), factor * y, "y after two steps", rtol=1e-5)


# ---- 3


def dpm_1(denoiser, y, levels):
    for s, after in zip(levels[:-1], levels[1:], strict=True):
        y = after / s * y + (1 - after / s) * ask(denoiser, y, s)[0]
    return y


def check_two_steps():
    """a guess that stays, and one that is the noise level itself, worked out by hand"""
    class Guess:
        schedule = VP()

        def __init__(self, of):
            self.of = of

        def __call__(self, x, t, cond=None):
            alpha, sigma = self.schedule.alpha(t), self.schedule.sigma(t)
            x0 = np.zeros_like(x) + self.of(sigma / alpha)
            return x0, (x - alpha * x0) / sigma

    y = np.linspace(-4, 4, 8).reshape(2, 2, 2, 1)
    got = dpm_1(Guess(lambda s: 0.7), y, [30.0, 7.0, 6.0, 0.3])
    grading.same(got, 0.7 + (y - 0.7) / 100, "y, for a guess of 0.7", rtol=1e-5)
    got = dpm_1(Guess(lambda s: s), np.array([1.0, 0.0]), [4.0, 2.0, 1.0])
    grading.same(got, [2.25, 2.0], "y, for a guess that is s", rtol=1e-5)


# ---- 4


def churn(s, gamma):
    return s * math.sqrt((1 + gamma) ** 2 - 1)


def check_levels():
    """right triangles of whole numbers, and no churn at all"""
    for s, gamma, right in ((3.0, 2 / 3, 4.0), (5.0, 1.6, 12.0), (80.0, 0.0625, 28.722813232690143), (0.7, 0.0, 0.0)):
        grading.same(churn(s, gamma), right, f"churn({s}, {gamma:.4g})")


# ---- 5


def edm_levels(s_min, s_max, steps, rho=7.0):
    line = np.linspace(s_max ** (1 / rho), s_min ** (1 / rho), steps)
    return np.append(line**rho, 0.0)


def check_one_step_and_many():
    """one step, two steps, and eighteen as in the paper"""
    grading.same(edm_levels(0.002, 80.0, 1), [80.0, 0.0], "the levels of one step")
    grading.same(edm_levels(0.25, 9.0, 2, 2.0), [9.0, 0.25, 0.0], "the levels of two steps")
    grading.same(edm_levels(1.0, 9.0, 3, 2.0), [9.0, 4.0, 1.0, 0.0], "the levels of three steps, rho 2")
    grading.same(edm_levels(1.0, 27.0, 3, 3.0), [27.0, 8.0, 1.0, 0.0], "the levels of three steps, rho 3")
    paper = [(80 ** (1 / 7) + i / 17 * (0.002 ** (1 / 7) - 80 ** (1 / 7))) ** 7 for i in range(18)]
    grading.same(edm_levels(0.002, 80.0, 18), [*paper, 0.0], "the levels of eighteen steps, rho 7")


# ---- 6


def edm_sampler(denoise, y, levels, churn, rng):
    gamma = min(churn / (len(levels) - 1), math.sqrt(2) - 1)
    for s, after in zip(levels[:-1], levels[1:], strict=True):
        if gamma > 0:
            hat = s * (1 + gamma)
            y = y + math.sqrt(hat**2 - s**2) * rng.standard_normal(y.shape)
            s = hat
        slope = (y - denoise(y, s)) / s
        there = y + (after - s) * slope
        if after > 0:
            slope = (slope + (there - denoise(there, after)) / after) / 2
        y = y + (after - s) * slope
    return y


def check_gaussian_data():
    """Gaussian data: the exact curve without churn, mean and deviation with much of it"""
    m, c, high, steps = 0.3, 0.5, 20.0, 60
    levels = [*(high ** (1 / 7) + np.arange(steps) / (steps - 1) * (0.01 ** (1 / 7) - high ** (1 / 7))) ** 7, 0.0]
    calls = []

    def denoise(y, s):
        calls.append(s)
        assert s > 0, "the denoiser was asked at level 0"
        return (c**2 * y + s**2 * m) / (c**2 + s**2)

    y = m + np.linspace(-2, 2, 6).reshape(3, 2, 1, 1) * math.sqrt(c**2 + high**2)
    got = edm_sampler(denoise, y, levels, 0.0, np.random.default_rng(3))
    grading.same(got, m + np.linspace(-2, 2, 6).reshape(3, 2, 1, 1) * c, "y without churn", rtol=2e-3, atol=2e-3)
    grading.same(len(calls), 2 * steps - 1, f"calls of the denoiser in {steps} steps")
    rng = np.random.default_rng(4)
    y = m + math.sqrt(c**2 + high**2) * rng.standard_normal((20_000, 1))
    got = edm_sampler(denoise, y, levels, 1000.0, rng)  # gamma is as large as it gets
    grading.same([got.mean(), got.std()], [m, c], "mean and deviation with much churn", rtol=0.03)
    hat = math.sqrt(2) * 6.0
    draw = 6.0 * np.random.default_rng(8).standard_normal((2, 2)) + 1.0
    got = edm_sampler(lambda y, s: y / (1 + s), np.ones((2, 2)), [6.0, 0.0], 5.0, np.random.default_rng(8))
    grading.same(got, draw / (1 + hat), "y after one step with gamma at its largest")
    z, z_next = np.random.default_rng(9).standard_normal((2, 3))
    first = 2.0 + math.sqrt(7.2**2 - 36) * z  # gamma is 0.4 / 2
    there = first * 3 / 7.2
    second = first - 4.2 * (first / 7.2 + there / 6) / 2 + math.sqrt(3.6**2 - 9) * z_next
    got = edm_sampler(lambda y, s: y * (s < 5) / 2, np.full(3, 2.0), [6.0, 3.0, 0.0], 0.4, np.random.default_rng(9))
    grading.same(got, second / 2, "y after two steps with churn 0.4")


# ---- 7


def dpm_solver_pp(denoise, x, alphas, sigmas):
    before, lam_before = None, None
    for i in range(len(alphas) - 1):
        x0 = denoise(x, alphas[i], sigmas[i])
        if sigmas[i + 1] == 0:
            return alphas[i + 1] * x0
        lam, lam_next = (math.log(alphas[k] / sigmas[k]) for k in (i, i + 1))
        h, bent = lam_next - lam, x0
        if before is not None:
            bent = x0 + h / (2 * (lam - lam_before)) * (x0 - before)
        x = sigmas[i + 1] / sigmas[i] * x + alphas[i + 1] * (1 - math.exp(-h)) * bent
        before, lam_before = x0, lam
    return x


def check_order_and_library():
    """its order on Gaussian data, the library's own steps on a mixture, and one step to the end"""
    schedule, m, c = VP(), 0.3, 0.5

    def levels(steps):
        s = np.exp(np.linspace(math.log(50.0), math.log(0.02), steps + 1))
        alphas = 1 / np.sqrt(1 + s * s)
        return alphas.tolist(), (s * alphas).tolist()

    def gaussian(x, alpha, sigma):
        v = alpha**2 * c**2 + sigma**2
        return m + alpha * c**2 / v * (x - alpha * m)

    errors, z = [], np.linspace(-2, 2, 8).reshape(2, 2, 2, 1)
    for steps in (60, 120):
        alphas, sigmas = levels(steps)
        deviation = [math.sqrt(a**2 * c**2 + s**2) for a, s in zip(alphas, sigmas, strict=True)]
        got = dpm_solver_pp(gaussian, alphas[0] * m + deviation[0] * z, alphas, sigmas)
        errors.append(np.abs(got - alphas[-1] * m - deviation[-1] * z).max())
    order = math.log2(errors[0] / errors[1])
    if not (abs(order - 2) < 0.2 and errors[1] < 1e-3):
        raise grading.WrongAnswer(f"x on Gaussian data: the error falls with order {order:.2f}, expected 2")
    blobs = GaussianMixture([[-1.0, 0.2], [1.0, 0.5]], stds=0.2).denoiser(schedule)
    s = np.linspace(50.0 ** (1 / 7), 0.02 ** (1 / 7), 21) ** 7  # steps of different length in lambda
    alphas, sigmas = (1 / np.sqrt(1 + s * s)).tolist(), (s / np.sqrt(1 + s * s)).tolist()
    x = np.random.default_rng(5).standard_normal((4, 2))

    def denoise(x, alpha, sigma):
        return blobs(x, schedule.t_of_log_snr(2 * math.log(alpha / sigma)))[0]

    *_, theirs = samplers.dpmpp_2m(blobs, x, sigmas=s.tolist())
    grading.same(dpm_solver_pp(denoise, x, alphas, sigmas), theirs.x, "x after twenty steps on a mixture", rtol=1e-5)
    got = dpm_solver_pp(lambda x, a, s: x * 0 + a, np.ones((1, 3)), [0.6, 0.8], [0.8, 0.0])
    grading.same(got, np.full((1, 3), 0.48), "x after one step to sigma = 0")
