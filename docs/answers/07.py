"""Chapter 7: the answers to its exercises, and their hidden tests, one point each. Both run in the chapter's own names."""

import numpy as np

from minidiff import grading, samplers
from minidiff.diffusion import GaussianMixture, Posterior, Schedule

WITHOUT = {  # what an answer may not call
    "mean_from_eps": ["minidiff.diffusion.Posterior"],
    "too_much": ["minidiff.diffusion.Posterior"],
    "walk_from": ["minidiff.samplers.*"],
    "step_mean": ["minidiff.diffusion.Posterior"],
    "step_std": ["minidiff.diffusion.Posterior"],
    "ddpm_sampler": ["ddpm", "minidiff.samplers.*"],
}

# ---- 1


def mean_from_eps(x, eps, t, beta, alpha_bar):
    return (x - beta[t] / np.sqrt(1 - alpha_bar[t]) * eps) / np.sqrt(1 - beta[t])


def check_early_and_late():
    """the mean, at the first time and the last, of images, on another schedule"""
    given = Schedule.cosine(40)
    rng = np.random.default_rng(3)
    x, x0 = rng.standard_normal((2, 2, 3, 3, 1))
    for t in (0, 1, 20, 38):
        eps = (x - np.sqrt(given.alpha_bar[t]) * x0) / np.sqrt(1 - given.alpha_bar[t])
        right = Posterior(given).mean(x0, x, t)
        grading.same(mean_from_eps(x, eps, t, given.betas, given.alpha_bar), right, f"the mean at t = {t}")


# ---- 2


def too_much(alpha_bar, t):
    return 1 - (1 - alpha_bar[t - 1]) / (1 - alpha_bar[t])


def check_another_schedule():
    """from the alpha_bar that is given, not the chapter's"""
    alpha_bar = np.array([0.9, 0.6, 0.2, 0.05, 0.0])
    for t, right in ((1, 0.75), (2, 0.5), (3, 1 - 0.8 / 0.95), (4, 0.05)):
        grading.same(too_much(alpha_bar, t), right, f"the share at t = {t}")


# ---- 3


def walk_from(denoiser, x, t, c_x0, c_xt, beta_tilde, rng):
    for s in range(t, -1, -1):
        x0, _ = denoiser(x, s)
        x = c_x0[s] * x0 + c_xt[s] * x
        if s > 0:
            x = x + np.sqrt(beta_tilde[s]) * rng.standard_normal(x.shape)
    return x


def check_which_steps():
    """the library's walk from the same time with the same noise, for images"""
    given = Schedule.linear(30, scale_to_T=True)
    tables = Posterior(given)
    denoiser = GaussianMixture(np.random.default_rng(2).standard_normal((3, 2, 2, 1)), stds=0.3).denoiser(given)
    for t in (29, 12, 0):
        x = np.random.default_rng(t).standard_normal((4, 2, 2, 1))
        *_, last = samplers.ddpm(denoiser, x, start=29 - t, rng=np.random.default_rng(8))
        got = walk_from(denoiser, x, t, tables.c_x0, tables.c_xt, tables.variance, np.random.default_rng(8))
        grading.same(got, last.x, f"x, from t = {t}")


def check_does_not_write_into_x():
    """the x that it was given is what it was"""
    tables, x = Posterior(Schedule.linear(10, scale_to_T=True)), np.ones((3, 2))
    arguments = 3, tables.c_x0, tables.c_xt, tables.variance, np.random.default_rng(0)
    got = walk_from(lambda x, t: (0.5 * x, x), x, *arguments)
    grading.same(x, np.ones((3, 2)), "the x that was given", {"it was written into (x += ..., x *= ...)": x})
    grading.same(np.shape(got), (3, 2), "the shape of the answer")


# ---- 4


def step_mean(x, eps, t, betas, clip=None):
    alpha_bar = np.cumprod(1 - betas)
    before = alpha_bar[t - 1] if t > 0 else 1.0
    x0 = (x - np.sqrt(1 - alpha_bar[t]) * eps) / np.sqrt(alpha_bar[t])
    if clip is not None:
        x0 = np.clip(x0, -clip, clip)
    now = alpha_bar[t]
    return np.sqrt(before) * betas[t] / (1 - now) * x0 + np.sqrt(1 - betas[t]) * (1 - before) / (1 - now) * x


def check_posterior():
    """the mean of the library's posterior, at both ends of other schedules, for images, clipped and not"""
    rng = np.random.default_rng(4)
    for given in (Schedule.cosine(25), Schedule.linear(7, scale_to_T=True), Schedule.from_betas(np.array([0.3]))):
        tables, (x, eps) = Posterior(given), rng.standard_normal((2, 2, 3, 4, 1))
        for t in {0, given.T // 2, given.T - 1}:
            for clip in (None, 1.0, 0.25):
                x0 = (x - given.sigma(t) * eps) / given.alpha(t)
                x0 = x0 if clip is None else np.minimum(np.maximum(x0, -clip), clip)
                right = tables.mean(x0, x, t)
                got = step_mean(x, eps, t, given.betas, clip=clip)
                grading.same(got, right, f"the mean at t = {t} of {given.T}, clip {clip}")


# ---- 5


def step_std(betas, kind):
    alpha_bar = np.cumprod(1 - betas)
    before = np.append(1.0, alpha_bar[:-1])
    small = betas * (1 - before) / (1 - alpha_bar)
    return np.sqrt(small if kind == "small" else np.append(0.0, betas[1:]))


def check_both_tables():
    """the tables of other schedules, of a single step too"""
    for given in (Schedule.cosine(25), Schedule.from_betas(np.array([0.3])), Schedule.from_betas(np.array([0.5, 0.2, 0.5]))):
        for kind, right in (("small", Posterior(given).variance), ("large", given.betas * (np.arange(given.T) > 0))):
            grading.same(step_std(given.betas, kind), right**0.5, f'the table for "{kind}" of {given.T} steps')
    grading.same(step_std(np.array([0.5, 0.5]), "small"), [0, 3**-0.5], 'the table for "small" of betas 0.5, 0.5')


# ---- 6


def ddpm_sampler(model, mean, std, shape, rng):
    x = rng.standard_normal(shape)
    for t in range(len(std) - 1, -1, -1):
        x = mean(x, model(x, np.full(shape[0], t)), t)
        if t > 0:
            x = x + std[t] * rng.standard_normal(shape)
    return x


def check_gaussian_data():
    """data N(0, c^2), for which the exact model is a factor: each draw arrives with a factor that is known, for images"""
    c, given = 0.5, Schedule.linear(12, scale_to_T=True)
    a, sigma, tables = np.sqrt(given.alpha_bar), np.sqrt(1 - given.alpha_bar), Posterior(given)
    guess = c**2 * a / (c**2 * a**2 + sigma**2)  # x0 = guess * x_t

    def model(x, t):
        assert np.shape(t) == (len(x),), f"the model's t has shape {np.shape(t)}, expected ({len(x)},)"
        return x * ((1 - a * guess) / sigma)[np.asarray(t)].reshape(-1, 1, 1, 1)

    def mean(x, eps, t):
        return tables.mean((x - sigma[t] * eps) / a[t], x, t)

    for std in (np.sqrt(tables.variance), np.append(0.0, np.sqrt(given.betas[1:]))):
        shape = (3, 2, 2, 1)
        draws = np.random.default_rng(6).standard_normal((12, *shape))  # x_T, then the noise of steps 11, 10, ..., 1
        keeps = tables.c_x0 * guess + tables.c_xt  # what a step leaves of x
        right = draws[0] * keeps.prod() + sum(std[12 - k] * draws[k] * keeps[: 12 - k].prod() for k in range(1, 12))
        grading.same(ddpm_sampler(model, mean, std, shape, np.random.default_rng(6)), right, "x")
    one = ddpm_sampler(lambda x, t: 0 * x, lambda x, eps, t: x - eps, np.ones(1), (2, 5), np.random.default_rng(1))
    grading.same(one, np.random.default_rng(1).standard_normal((2, 5)), "x of a walk of a single step")
