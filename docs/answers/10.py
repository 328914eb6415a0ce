"""Chapter 10: the answers to its exercises, and their hidden tests, one point each. Both run in the chapter's own names."""

import numpy as np

from minidiff import grading

WITHOUT = {  # what an answer may not call
    "towards_and_away": ["minidiff.diffusion.cfg"],
}

# ---- 1


def by_scale(eps_without, eps_with, scale):
    return eps_without + scale * (eps_with - eps_without)


def check_scales():
    """at 0, 1 and beyond"""
    without, given = np.array([1.0, -2.0, 0.5]), np.array([0.0, 3.0, 0.7])
    for scale in (3.0, 12.0, 1.0, 0.0):
        grading.same(by_scale(without, given, scale), without + scale * (given - without), f"guided, scale {scale}", {
            "this takes scale for w, or begins at the conditional answer: scale = 1 + w": (1 + scale) * given - scale * without,
            "the two answers have changed places": given + scale * (without - given),
            "the unconditional answer is forgotten at the beginning": scale * (given - without),
            "a weighted sum of both with a plus: guidance goes away from the unconditional one": without + scale * given,
            "a sign: the way goes towards the condition": without - scale * (given - without),
        })


# ---- 2


def towards_and_away(denoiser, x, t, c, away, w):
    return (1 + w) * denoiser(x, t, c)[1] - w * denoiser(x, t, away)[1]


def check_what_is_asked():
    """which classes are asked about, at which t, and how they are mixed"""
    asked = []

    def denoiser(x, t, cond=None):
        asked.append((t, None if cond is None else tuple(np.ravel(cond))))
        shift = 0.0 if cond is None else np.asarray(cond, float)[:, None]
        return np.cos(x) + 100, np.sin(x) + shift

    x, c, away, w = np.array([[0.5], [-1.0]]), np.array([3, 1]), np.array([0, 2]), 2.0
    got = towards_and_away(denoiser, x, 40, c, away, w)
    a, b, none = np.sin(x) + c[:, None], np.sin(x) + away[:, None], np.sin(x)
    grading.same(got, (1 + w) * a - w * b, "the guided eps", {
        "c and away have changed places": (1 + w) * b - w * a,
        "this is ordinary guidance: the class to avoid takes the place of no class": (1 + w) * a - w * none,
        "the weights have to add up to 1: (1 + w) and -w": w * a - w * b,
        "the class to avoid is added; it is taken away": (1 + w) * a + w * b,
        "(1 - w) and w go between the two; guidance goes beyond": (1 - w) * b + w * a,
        "the guess of x0 is guided; asked is eps, the second of the two": np.cos(x) + 100,
        "only the class to go towards is asked": a,
    })
    if sorted(asked) != sorted([(40, (3, 1)), (40, (0, 2))]):
        raise grading.WrongAnswer(f"asked was {asked}: once with c and once with away, both at t")


# ---- 3


def same_contrast(guided, conditional):
    axes = (1, 2, 3)
    return guided * conditional.std(axis=axes, keepdims=True) / guided.std(axis=axes, keepdims=True)


def check_picture_by_picture():
    """each picture has its own factor, over all its channels together"""
    rng = np.random.default_rng(1)
    guided = rng.standard_normal((3, 4, 4, 2)) * np.array([1.0, 5.0, 9.0])[:, None, None, None] * np.array([1.0, 3.0]) + 0.5
    plain = rng.standard_normal((3, 4, 4, 2)) * np.array([2.0, 1.0, 0.5])[:, None, None, None]

    def std(z, axes):
        return z.std(axis=axes, keepdims=True)

    axes = (1, 2, 3)
    right = guided * std(plain, axes) / std(guided, axes)
    mean = guided.mean(axis=axes, keepdims=True)
    grading.same(same_contrast(guided, plain), right, "the answer", {
        "one factor for the whole batch: each picture has its own": guided * plain.std() / guided.std(),
        "a factor for each channel: it is one for each picture": guided * std(plain, (1, 2)) / std(guided, (1, 2)),
        "upside down: divide by the guided deviation": guided * std(guided, axes) / std(plain, axes),
        "variances for deviations": guided * std(plain, axes) ** 2 / std(guided, axes) ** 2,
        "only divided: then multiply by the conditional deviation": guided / std(guided, axes),
        "the conditional picture was scaled, not the guided one": plain * std(guided, axes) / std(plain, axes),
        "the mean was moved; only a factor is asked for": (guided - mean) * std(plain, axes) / std(guided, axes) + mean,
        "the mean was taken away; only a factor is asked for": (guided - mean) * std(plain, axes) / std(guided, axes),
    })


# ---- 4


def log_sure(x):
    return -np.logaddexp(0, -2 * x)


def check_far_out():
    """far out on both sides, where exp overflows"""
    x = np.array([-1000.0, -3.0, 0.0, 2.0, 1000.0])
    with np.errstate(all="ignore"):
        naive = np.log(1 / (1 + np.exp(-2 * x)))
        other = np.log(np.exp(2 * x) / (1 + np.exp(2 * x)))
    grading.same(log_sure(x), -np.logaddexp(0, -2 * x), "log p(1 | x)", {
        "exp overflows far out on the left: use np.logaddexp": naive,
        "exp overflows far out on the right: use np.logaddexp": other,
        "this is class 0: a sign of x": -np.logaddexp(0, 2 * x),
        "the 2 is missing: the blobs are 2 apart": -np.logaddexp(0, -x),
        "a sign: a log-probability is never above 0": np.logaddexp(0, -2 * x),
        "this is the probability, not its logarithm": 1 / (1 + np.exp(np.clip(-2 * x, None, 700))),
    })
