"""Chapter 8: the answers to its exercises, and their hidden tests, one point each. Both run in the chapter's own names."""

import numpy as np

from minidiff import grading, samplers
from minidiff.diffusion import GaussianMixture, Schedule, spaced_steps

WITHOUT = {  # what an answer may not call
    "ddim_minus": ["minidiff.samplers.*"],
    "respaced_sampler": ["ddpm", "minidiff.samplers.*"],
    "ddim_sampler": ["ddim", "minidiff.samplers.*"],
}

# ---- 1


def noise_left(schedule, t, next_t):
    return schedule.sigma(t - 1) - schedule.sigma(next_t)


def check_gaps():
    """for gaps of any size, on another schedule"""
    given = Schedule.cosine(200)
    for t, s in ((150, 100), (60, 20), (199, 1), (1, 0)):
        right = (1 - given.alpha_bar[t - 1]) ** 0.5 - (1 - given.alpha_bar[s]) ** 0.5
        grading.same(noise_left(given, t, s), right, f"from {t}, next {s}")


# ---- 2


def kept(now, after, eta):
    (a_t, sigma_t), (a_s, sigma_s) = now, after
    added = eta * sigma_s / sigma_t * (1 - (a_t / a_s) ** 2) ** 0.5
    return (sigma_s**2 - added**2) ** 0.5


def check_half_the_noise():
    """eta between 0 and 1, where its square counts"""
    for a_t, a_s, eta in ((0.6, 0.8, 0.5), (0.1, 0.9, 0.3), (0.05, 0.06, 1.0), (0.5, 0.5, 0.7)):
        left, part = 1 - a_s**2, eta**2 * (1 - a_s**2) / (1 - a_t**2) * (1 - a_t**2 / a_s**2)
        got = kept((a_t, (1 - a_t**2) ** 0.5), (a_s, (1 - a_s**2) ** 0.5), eta)
        grading.same(got, (left - part) ** 0.5, f"kept from alpha {a_t} to alpha {a_s}, eta {eta}")


def check_last_move():
    """the move to the finished image, s = -1: nothing is kept"""
    grading.same(kept((0.8, 0.6), (1.0, 0.0), 0.7), 0.0, "kept in the move to -1")


# ---- 3


def ddim_minus(denoiser, x, moves, level):
    for t, s in moves:
        a_s, sigma_s = level(s)
        x0, eps = denoiser(x, t)
        x = a_s * x0 - sigma_s * eps
    return x


def check_two_moves():
    """no move, two, and one to the finished image, on other levels, for images"""
    x = np.arange(8.0).reshape(2, 2, 2, 1) / 4 - 1

    def denoiser(x, t, cond=None):
        return x**2 + t, x - t

    def level(t):
        return 1 / (2 + t), (1 + t) / 10

    grading.same(ddim_minus(denoiser, x, [], level), x, "x without a move")
    once = (x**2 + 3) / 3 - 0.2 * (x - 3)
    grading.same(ddim_minus(denoiser, x, [(3, 1)], level), once, "x after one move")
    grading.same(ddim_minus(denoiser, x, [(3, 1), (1, -1)], level), once**2 + 1, "x after a second move, to -1")


# ---- 4


def respaced_betas(alpha_bar, times):
    now = alpha_bar[np.asarray(times)]
    return 1 - now / np.append(now[1:], 1.0)


def check_product():
    """the product of 1 - beta gives back alpha_bar at the times, for one time, some and all"""
    for given in (Schedule.cosine(40), Schedule.linear(100, scale_to_T=True)):
        for times in (spaced_steps(given.T, given.T), spaced_steps(given.T, 7), np.array([9]), np.array([33, 32, 5])):
            got = np.asarray(respaced_betas(given.alpha_bar, times))
            grading.same(got.shape, times.shape, "the shape of the betas")
            grading.same(np.cumprod(1 - got[::-1])[::-1], given.alpha_bar[times], f"products of 1 - beta for {times[:5]}")
    grading.same(respaced_betas(given.alpha_bar, np.arange(99, -1, -1))[::-1], given.betas, "the betas for all times")


# ---- 5


def respaced_sampler(model, x, alpha_bar, times, rng, clip=None):
    after = [*alpha_bar[np.asarray(times[1:], dtype=int)], 1.0]
    for t, later in zip(times, after, strict=True):
        now = alpha_bar[t]
        x0 = (x - np.sqrt(1 - now) * model(x, t)) / np.sqrt(now)
        if clip is not None:
            x0 = np.clip(x0, -clip, clip)
        beta = 1 - now / later
        x = np.sqrt(later) * beta / (1 - now) * x0 + np.sqrt(now / later) * (1 - later) / (1 - now) * x
        if later < 1:
            x = x + np.sqrt(beta * (1 - later) / (1 - now)) * rng.standard_normal(x.shape)
    return x


def check_the_library_s_walk():
    """samplers.ddpm_respaced on the same noise: all the times, a few, one; clipped and not; for images"""
    given = Schedule.cosine(30)
    denoiser = GaussianMixture(np.random.default_rng(2).standard_normal((3, 2, 2, 1)), stds=0.3).denoiser(given)
    x = np.random.default_rng(3).standard_normal((4, 2, 2, 1))

    class Counted:
        def __init__(self):
            self.rng, self.count = np.random.default_rng(8), 0

        def standard_normal(self, size=None, dtype=np.float64):
            self.count += 1
            return self.rng.standard_normal(size, dtype)

    for times in (list(range(28, -1, -1)), [27, 14, 13, 5], [20]):
        for clip in (None, 0.5):
            rng, own = Counted(), np.random.default_rng(8)
            *_, last = samplers.ddpm_respaced(denoiser, x, steps=times, rng=own, clip=clip)
            got = respaced_sampler(lambda x, t: denoiser(x, int(t))[1], x, given.alpha_bar, times, rng, clip=clip)
            grading.same(got, last.x, f"x, {len(times)} steps, clip {clip}", rtol=1e-5, atol=1e-8)
            grading.same(rng.count, len(times) - 1, "the number of random arrays drawn")


# ---- 6


def ddim_sampler(model, x, alpha_bar, times, eta, rng, clip=None):
    after = [*alpha_bar[np.asarray(times[1:], dtype=int)], 1.0]
    for t, later in zip(times, after, strict=True):
        now = alpha_bar[t]
        eps = model(x, t)
        x0 = (x - np.sqrt(1 - now) * eps) / np.sqrt(now)
        if clip is not None:
            x0 = np.clip(x0, -clip, clip)
            eps = (x - np.sqrt(now) * x0) / np.sqrt(1 - now)
        noise = eta * np.sqrt((1 - later) / (1 - now) * (1 - now / later))
        x = np.sqrt(later) * x0 + np.sqrt(1 - later - noise**2) * eps
        if noise > 0:
            x = x + noise * rng.standard_normal(x.shape)
    return x


def check_the_library_s_ddim():
    """samplers.ddim on the same noise, for three etas; clipped and not; one step and many; for images"""
    given = Schedule.cosine(30)
    denoiser = GaussianMixture(np.random.default_rng(2).standard_normal((3, 2, 2, 1)), stds=0.3).denoiser(given)
    x = np.random.default_rng(3).standard_normal((4, 2, 2, 1))

    class Counted:
        def __init__(self):
            self.rng, self.count = np.random.default_rng(8), 0

        def standard_normal(self, size=None, dtype=np.float64):
            self.count += 1
            return self.rng.standard_normal(size, dtype)

    for times, eta, clip in (
        (list(range(28, -1, -1)), 0.0, None), ([27, 14, 13, 5], 1.0, 0.5), ([27, 14, 13, 5], 0.3, None), ([20], 0.5, 1.0),
    ):  # fmt: skip
        rng, own = Counted(), np.random.default_rng(8)
        *_, last = samplers.ddim(denoiser, x, steps=times, eta=eta, rng=own, clip=clip, rederive=clip is not None)
        got = ddim_sampler(lambda x, t: denoiser(x, int(t))[1], x, given.alpha_bar, times, eta, rng, clip=clip)
        grading.same(got, last.x, f"x, {len(times)} steps, eta {eta}, clip {clip}", rtol=1e-5, atol=1e-8)
        assert eta or not rng.count, f"noise was drawn {rng.count} times with eta 0, expected 0"
