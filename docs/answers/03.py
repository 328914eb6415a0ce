"""Chapter 3: the answers to its exercises, and their hidden tests, one point each. Both run in the chapter's own names."""

import numpy as np

from minidiff import grading
from minidiff.diffusion import Schedule

WITHOUT = {  # what an answer may not call
    "log_snr": ["minidiff.diffusion.Schedule.log_snr"],
    "end_in_pure_noise": ["minidiff.diffusion.Schedule.rescale_zero_terminal_snr"],
    "cosine_schedule": ["minidiff.diffusion.Schedule.cosine", "minidiff.diffusion.Schedule.named"],
    "q_sample": ["add_noise", "minidiff.diffusion.Schedule.add_noise"],
}

# ---- 1


def log_snr(betas):
    alpha_bar = np.cumprod(1 - betas)
    return np.log(alpha_bar / (1 - alpha_bar))


def check_any_betas():
    """five betas, large and tiny, and a single one"""
    grading.same(log_snr(np.array([0.5, 0.5, 0.5, 0.9, 1e-4])), [
        0.0, -1.0986122886681098, -1.9459101490553132, -4.369447852467021, -4.369549123289338], "log_snr")
    grading.same(log_snr(np.array([0.2])), [1.3862943611198906], "log_snr of one beta")


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
    """a and b over one step, from the first, and to pure noise"""
    alpha_bar = np.array([0.98, 0.784, 0.5, 0.02, 0.0])
    for s, t, right in ((0, 1, (np.sqrt(0.8), np.sqrt(0.2))), (0, 3, (1 / 7, np.sqrt(48) / 7)), (2, 3, (0.2, np.sqrt(0.96))),
                        (1, 4, (0.0, 1.0))):  # fmt: skip
        a, b = grading.parts(jump(alpha_bar, s, t), "a", "b")
        grading.same(a, right[0], f"a from {s} to {t}")
        grading.same(b, right[1], f"b from {s} to {t}")


# ---- 3


def betas_of(alpha_bar):
    return 1 - alpha_bar / np.append(1, alpha_bar[:-1])


def check_first_step():
    """the first beta too, of schedules of one, two and six steps"""
    grading.same(betas_of(np.array([0.75])), [0.25], "the beta of a single step")
    grading.same(betas_of(np.array([0.2, 0.19])), [0.8, 0.05], "two betas")
    betas = np.array([1e-6, 0.4, 0.4, 1e-3, 0.98, 1.0])
    alpha_bar = np.array([0.999999, 0.5999994, 0.35999964, 0.35963964036, 0.0071927928072, 0.0])
    grading.same(betas_of(alpha_bar), betas, "six betas, the last of them 1", atol=1e-12)


# ---- 4


def end_in_pure_noise(alpha_bar):
    a = np.sqrt(alpha_bar)
    return ((a - a[-1]) * a[0] / (a[0] - a[-1])) ** 2


def check_both_ends():
    """the first is what it was, the last is 0, what was given is not written into; two steps, and five"""
    grading.same(end_in_pure_noise(np.array([0.25, 0.01])), [0.25, 0.0], "alpha_bar of two steps")
    alpha_bar = np.array([0.64, 0.49, 0.36, 0.16, 0.04])
    got = end_in_pure_noise(alpha_bar)
    grading.same(got, [0.64, 0.4444444444444444, 0.2844444444444445, 0.07111111111111112, 0.0], "alpha_bar")
    grading.same(alpha_bar, [0.64, 0.49, 0.36, 0.16, 0.04], "the alpha_bar that was given", {"it was written into": got})


# ---- 5


def cosine_schedule(T):
    f = np.cos((np.arange(T + 1) / T + 0.008) / 1.008 * np.pi / 2) ** 2
    betas = np.minimum(1 - f[1:] / f[:-1], 0.999)
    return betas, np.cumprod(1 - betas)


def check_few_steps():
    """schedules of one, two and three steps, where the limit of 0.999 counts for much"""
    for T, right in ((1, [0.999]), (2, [0.5061564095593623, 0.999]), (3, [0.257116370608267, 0.6682546795866293, 0.999])):
        betas, alpha_bar = grading.parts(cosine_schedule(T), "betas", "alpha_bar")
        grading.same(betas, right, f"betas of {T} steps")
        grading.same(alpha_bar, [np.prod(1 - np.array(right[:n])) for n in range(1, T + 1)], f"alpha_bar of {T} steps")


def check_a_thousand_steps():
    """the first step, the middle and the end of 1000, by cos^2 x = (1 + cos 2x) / 2"""
    betas, alpha_bar = map(np.asarray, grading.parts(cosine_schedule(1000), "betas", "alpha_bar"))
    grading.same(len(betas), 1000, "the number of betas")
    f = [1 + np.cos(np.pi * (t / 1000 + 0.008) / 1.008) for t in (0, 1, 499, 500, 998, 999)]
    grading.same(betas[0], 1 - f[1] / f[0], "the first beta")
    grading.same(betas[499], 1 - f[3] / f[2], "the beta of step 500")
    grading.same(betas[998:], [1 - f[5] / f[4], 0.999], "the last two betas")
    grading.same(alpha_bar[[0, 499, 998]], np.array([f[1], f[3], f[5]]) / f[0], "alpha_bar", atol=1e-15)
    grading.same(alpha_bar[999] / alpha_bar[998], 0.001, "what the last step keeps")


# ---- 6


def q_sample(alpha_bar, x0, t, eps):
    kept = alpha_bar[t].reshape(-1, *[1] * (x0.ndim - 1))
    return (np.sqrt(kept) * x0 + np.sqrt(1 - kept) * eps).astype(x0.dtype)


def check_any_rank():
    """numbers, rows, images and films, one t for each sample, with as many samples as columns too"""
    alpha_bar = np.array([0.96, 0.75, 0.5, 0.19, 0.0])
    t = np.array([4, 1, 0, 3])
    for shape in ((4,), (4, 4), (4, 2, 3), (4, 4, 4, 1), (4, 1, 3, 2, 2)):
        rng = np.random.default_rng(len(shape))
        x0, eps = rng.standard_normal((2, *shape))
        right = np.stack([np.sqrt(alpha_bar[k]) * x0[n] + np.sqrt(1 - alpha_bar[k]) * eps[n] for n, k in enumerate(t)])
        grading.same(q_sample(alpha_bar, x0, t, eps), right, f"x_t, for x0 of shape {shape}")


def check_ends_and_dtype():
    """pure noise where alpha_bar is 0; float32 stays float32; what is given is not written into"""
    alpha_bar = np.array([1.0, 0.5, 0.0])
    x0, eps = np.array([[2.0, -3.0], [4.0, 5.0]], np.float32), np.array([[1.0, 7.0], [-1.0, 0.5]], np.float32)
    got = q_sample(alpha_bar, x0, np.array([0, 2]), eps)
    grading.same(got, [[2.0, -3.0], [-1.0, 0.5]], "x_t where alpha_bar is 1 and 0")
    assert got.dtype == np.float32, "x_t of float32 images is not float32: alpha_bar is float64, so turn x_t into x0.dtype"
    grading.same(x0, [[2.0, -3.0], [4.0, 5.0]], "the x0 that was given", {"it was written into": got})
