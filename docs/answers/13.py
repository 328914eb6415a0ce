"""Chapter 13: the answers to its exercises, and their hidden tests, one point each. Both run in the chapter's own names."""

import numpy as np

from minidiff import gradcheck, grading

WITHOUT = {  # what an answer may not call
    "v_target": ["minidiff.diffusion.denoiser.from_x0_eps"],
    "guided_target": ["minidiff.diffusion.cfg"],
    "weighted_loss": ["minidiff.ops.*"],
    "two_steps": ["ddim", "ddim_step", "halving_loss", "minidiff.samplers.ddim"],
    "mixed_target": ["student_target", "share_of_first", "halving_loss", "minidiff.training.distill.first_share"],
    "distillation_loss": ["halving_loss", "minidiff.training.TwoStepLoss", "minidiff.diffusion.losses.mean_square"],
}

# ---- 1


def v_target(goal, z, t):
    a, sigma = level(t)
    return (a * z - goal) / sigma


def check_other_times():
    """images, early and late, where alpha and sigma differ: v leads back to the target"""
    rng = np.random.default_rng(1)
    goal, z = rng.standard_normal((2, 2, 4, 4, 1))
    for t in (60, 500, 930):
        a, s = level(t)
        v = v_target(goal, z, t)
        grading.same(a * z - s * np.asarray(v), goal, f"alpha z - sigma v at t = {t}")


# ---- 2


def calls(start, train_steps):
    return 3 * train_steps * (start.bit_length() - 1)


def check_counts():
    """other beginnings, and none: one step is not halved"""
    for start, steps, right in ((16, 7, 84), (4, 100, 600), (512, 1000, 27000), (1024, 1, 30), (1, 50, 0)):
        grading.same(calls(start, steps), right, f"calls({start}, {steps})")


# ---- 3


def weighted_loss(v, goal, weight):
    error = v - goal

    def back(dloss=1.0):
        return dloss * 2 * weight * error / v.size

    return (weight * error**2).mean(), back


def check_weights():
    """images, weights that differ, one of them 0"""
    rng = np.random.default_rng(2)
    v, goal = rng.standard_normal((2, 3, 2, 2, 5))
    weight = np.array([0.0, 0.2, 4.0]).reshape(3, 1, 1, 1)
    loss, back = grading.parts(weighted_loss(v, goal, weight), "loss", "back")
    grading.same(loss, sum(w * ((v[n] - goal[n]) ** 2).sum() for n, w in enumerate((0.0, 0.2, 4.0))) / 60, "loss")
    for dloss in (1.0, -0.5):
        grading.same(back(dloss), [dloss * w / 30 * (v[n] - goal[n]) for n, w in enumerate((0.0, 0.2, 4.0))], f"back({dloss})")


# ---- 4


def guided_target(denoiser, z, t, cond, null, w):
    _, with_cond = denoiser(z, t, cond)
    _, without = denoiser(z, t, null)
    return (1 + w) * with_cond - w * without


def check_mixture():
    """other weights, 0 among them, and images"""
    def denoiser(x, t, cond=None):
        shift = np.asarray(cond, float).reshape(-1, 1, 1, 1)
        return x - 7, x * shift + t

    z, cond, null = np.arange(8.0).reshape(2, 2, 2, 1), np.array([3, 1]), np.array([10, 10])
    for w in (4.0, 0.5, 0.0):
        factor = np.array([3 - 7 * w, 1 - 9 * w]).reshape(2, 1, 1, 1)  # (1 + w) c - 10 w
        grading.same(guided_target(denoiser, z, 30, cond, null, w), z * factor + 30, f"the noise, w = {w}")


# ---- 5


def two_steps(teacher, z, i, times, alpha, sigma):
    def at(values, k):
        return values[k].reshape(-1, *[1] * (z.ndim - 1))

    k, predictions = 2 * i, []
    for now in (k, k + 1):
        x, eps = teacher(z, times[now])
        predictions.append(x)
        z = at(alpha, now + 1) * x + at(sigma, now + 1) * eps
    return *predictions, z


def check_gaussian_data():
    """data from a normal distribution: DDIM's two steps are known factors, for images too"""
    times = np.arange(8)[::-1] * 100 + 90
    angle = np.append(times / 800 * 1.4, 0.0)
    alpha, sigma, var = np.cos(angle), np.sin(angle), 0.3**2

    def teacher(x, t):
        angle = (t / 800 * 1.4).reshape(-1, *[1] * (x.ndim - 1))
        x0 = np.cos(angle) * var / (np.cos(angle) ** 2 * var + np.sin(angle) ** 2) * x
        return x0, (x - np.cos(angle) * x0) / np.sin(angle)

    i = np.array([3, 0, 2, 1, 3])
    for shape in ((5, 3), (5, 4, 4, 1)):
        z, ones = np.random.default_rng(5).standard_normal(shape), [1] * (len(shape) - 1)
        first, second, end = grading.parts(two_steps(teacher, z, i, times, alpha, sigma), "first", "second", "end")
        total = alpha**2 * var + sigma**2
        step = (alpha[1:] * alpha[:-1] * var + sigma[1:] * sigma[:-1]) / total[:-1]
        guess = (alpha * var / total)[:-1]
        for name, got, factor in (
            ("first", first, guess[2 * i]),
            ("second", second, guess[2 * i + 1] * step[2 * i]),
            ("end", end, step[2 * i] * step[2 * i + 1]),
        ):
            grading.same(got, factor.reshape(-1, *ones) * z, f"{name}, for z of shape {shape}")


# ---- 6


def mixed_target(first, second, i, alpha, sigma):
    (a, a_half, a_end), (s, s_half, s_end) = ([x[2 * i + n] for n in range(3)] for x in (alpha, sigma))
    one = s_end / s_half * (a_half - s_half / s * a)
    share = one / (one + a_end - s_end / s_half * a_half)
    share = share.reshape(-1, *[1] * (first.ndim - 1)).astype(first.dtype)
    return share * first + (1 - share) * second


def check_lands_where_two_steps_end():
    """one DDIM step with the target ends where two end, images in float32 at short steps too"""
    angle = np.append(np.linspace(1.5, 0.02, 128), 0.0)
    alpha, sigma, i = np.cos(angle), np.sin(angle), np.array([0, 20, 63])
    z, first, second = np.random.default_rng(6).standard_normal((3, 3, 4, 2, 1))
    a, s = ([x[2 * i + n].reshape(3, 1, 1, 1) for n in range(3)] for x in (alpha, sigma))
    half = a[1] * first + s[1] / s[0] * (z - a[0] * first)
    end = a[2] * second + s[2] / s[1] * (half - a[1] * second)
    target = (end - s[2] / s[0] * z) / (a[2] - s[2] / s[0] * a[0])
    grading.same(mixed_target(first, second, i, alpha, sigma), target, "the target")
    got = mixed_target(first.astype(np.float32), second.astype(np.float32), i, alpha, sigma)
    grading.same(got, target, "the target of float32 predictions", rtol=1e-5, atol=1e-5)
    assert np.asarray(got).dtype == np.float32, f"the target of float32 predictions is {np.asarray(got).dtype}"


# ---- 7


def distillation_loss(v, z, goal, i, alpha, sigma):
    a, s = (x[2 * i].reshape(-1, *[1] * (v.ndim - 1)) for x in (alpha, sigma))
    weight = np.maximum(a**2, s**2)
    error = v - (a * z - goal) / s

    def back(dloss=1.0):
        return dloss * 2 * weight * error / v.size

    return (weight * error**2).mean(), back


def check_in_errors_of_x0():
    """images: max(SNR, 1) times the squared error of x0, on both sides of SNR = 1, with its gradient"""
    angle = np.append(np.linspace(1.5, 0.1, 6), 0.0)
    alpha, sigma, i = np.cos(angle), np.sin(angle), np.array([0, 2, 1])
    v, z, goal = np.random.default_rng(7).standard_normal((3, 3, 2, 4, 1))
    loss, _ = grading.parts(distillation_loss(v, z, goal, i, alpha, sigma), "loss", "back")
    right = 0.0
    for n, k in enumerate(2 * i):
        x0 = alpha[k] * z[n] - sigma[k] * v[n]
        right += max(1.0, (alpha[k] / sigma[k]) ** 2) * ((x0 - goal[n]) ** 2).sum() / v.size
    grading.same(loss, right, "loss")
    gradcheck.check(lambda v: distillation_loss(v, z, goal, i, alpha, sigma), v)
