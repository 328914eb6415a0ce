"""Chapter 12: the answers to its exercises, and their hidden tests, one point each. Both run in the chapter's own names."""

import numpy as np

from minidiff import grading
from minidiff.diffusion import Schedule

# ---- 1


def times_fewer(halvings, channels):
    return 4**halvings * 3 / channels


def check_other_autoencoders():
    """sizes that you do not see"""
    for halvings, channels in ((2, 5), (3, 16), (5, 3), (0, 3)):
        area = 4**halvings
        grading.same(times_fewer(halvings, channels), area * 3 / channels, f"times_fewer({halvings}, {channels})", {
            "height and width are both halved: 4, not 2, for each halving": 2**halvings * 3 / channels,
            "the 3 channels of the picture are missing": area / channels,
            "channels is in the wrong place: more of them are more numbers": area * channels / 3,
            "upside down: how many times fewer, not which share is left": channels / (3 * area),
            "the channels are missing": area,
            "a power: each halving divides by 4 again": 4 * halvings * 3 / channels,
            "times fewer is a ratio, not rounded down": area * 3 // channels,
        })


# ---- 2


def noise_small(small, eps, level, schedule):
    a, sigma = (c[:, None, None, None].astype(small.dtype) for c in (schedule.alpha(level), schedule.sigma(level)))
    return a * small + sigma * eps


def check_levels():
    """as many pictures as rows of pixels: each picture keeps its own level"""
    rng, other = np.random.default_rng(1), Schedule.linear(100)
    x, eps, level = rng.standard_normal((4, 4, 4, 3)), rng.standard_normal((4, 4, 4, 3)), np.array([0, 20, 60, 99])
    a, s = (f(level)[:, None, None, None] for f in (other.alpha, other.sigma))
    grading.same(noise_small(x, eps, level, other), a * x + s * eps, "the noisy pictures", {
        "the level went to the columns of pixels: shape it (B, 1, 1, 1)": other.alpha(level)[:, None] * x
        + other.sigma(level)[:, None] * eps,
        "the level went to the rows of pixels: shape it (B, 1, 1, 1)": other.alpha(level)[:, None, None] * x
        + other.sigma(level)[:, None, None] * eps,
        "alpha and sigma are roots; these are their squares": a**2 * x + s**2 * eps,
        "the picture has to shrink: alpha is missing": x + s * eps,
        "picture and noise have changed places": a * eps + s * x,
        "one level for all: each picture has its own": other.alpha(0) * x + other.sigma(0) * eps,
        "this is v: alpha eps - sigma x": a * eps - s * x,
    })


# ---- 3


def scaling_factor(latents):
    return 1 / latents.std()


def check_channels_that_differ():
    """channels of different size, and a mean that is not 0"""
    z = np.random.default_rng(2).standard_normal((5, 3, 3, 2)) * np.array([1.0, 8.0]) + 4
    grading.same(scaling_factor(z), 1 / z.std(), "the factor", {
        "this is the deviation; the factor is 1 over it": z.std(),
        "divided by the variance": 1 / z.var(),
        "the root of the mean square: the mean is taken away first": 1 / np.sqrt((z**2).mean()),
        "one number, not one for each channel": 1 / z.std(axis=(0, 1, 2)),
        "the mean of the channels' own factors; it is one deviation over everything": (1 / z.std(axis=(0, 1, 2))).mean(),
        "1 over the largest latent; it is the deviation that shall be 1": 1 / np.abs(z).max(),
    })


# ---- 4


def text_diff(vectors, frm, to, strength):
    moved = vectors + strength * (to - frm)
    length = [((z**2).sum(axis=1, keepdims=True)) ** 0.5 for z in (vectors, moved)]
    return moved * (length[0] / length[1])


def check_each_row():
    """vectors of different lengths, each kept"""
    z = np.array([[3.0, 4.0, 0.0], [0.0, 1.0, 0.0], [2.0, -2.0, 1.0]])
    frm, to, k = np.array([1.0, 0.0, 0.0]), np.array([0.0, 1.0, 2.0]), 0.5
    moved = z + k * (to - frm)

    def length(v):
        return np.linalg.norm(v, axis=1, keepdims=True)

    back = z - k * (to - frm)
    grading.same(text_diff(z, frm, to, k), moved * length(z) / length(moved), "the moved vectors", {
        "the length is not put back": moved,
        "scaled to length 1; each row keeps the length it had": moved / length(moved),
        "moved the other way: to minus frm": back * length(z) / length(back),
        "strength is not used": (z + to - frm) * length(z) / length(z + to - frm),
        "one length for the whole batch: each row has its own": moved * np.linalg.norm(z) / np.linalg.norm(moved),
        "upside down: the old length over the new one": moved * length(moved) / length(z),
        "only `to` is added: the difference of the texts is the direction": (z + k * to) * length(z) / length(z + k * to),
    })
    grading.same(z[0], [3.0, 4.0, 0.0], "the vectors that were given", {"they were written into": z[0]})
