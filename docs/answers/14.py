"""Chapter 14: the answers to its exercises, and their hidden tests, one point each. Both run in the chapter's own names."""

import numpy as np

from minidiff import grading, metrics

WITHOUT = {  # what an answer may not call
    "frechet_diagonal": ["minidiff.metrics.frechet_distance"],
}

# ---- 1


def frechet_diagonal(m, s, n, r):
    return ((m - n) ** 2 + (s - r) ** 2).sum()


def check_each_dimension():
    """dimensions that differ in mean and in spread"""
    m, s, n, r = np.array([1.0, 2.0, 0.0]), np.array([1.0, 3.0, 0.5]), np.array([0.5, 4.0, 0.0]), np.array([2.0, 1.0, 0.5])
    means, spreads = (m - n) ** 2, (s - r) ** 2
    grading.same(frechet_diagonal(m, s, n, r), (means + spreads).sum(), "the distance", {
        "it is a squared distance: there is no root": np.sqrt((means + spreads).sum()),
        "the spreads are missing": means.sum(),
        "the means are missing": spreads.sum(),
        "a mean over the dimensions; they add up": (means + spreads).mean(),
        "the difference of variances; it is that of standard deviations": (means + np.abs(s**2 - r**2)).sum(),
        "the difference of variances, squared; it is that of standard deviations": (means + (s**2 - r**2) ** 2).sum(),
        "not squared": (np.abs(m - n) + np.abs(s - r)).sum(),
        "one number for each dimension: add them up": means + spreads,
        "s and n have changed places in the arguments: m, s, n, r": ((m - s) ** 2 + (n - r) ** 2).sum(),
    })


# ---- 2


def bits_of(log_p, D, levels):
    return -log_p / (D * np.log(2)) + np.log2(levels / 2)


def check_other_data():
    """pictures of 256 levels and 3,072 numbers"""
    log_p, D, levels = np.array([5000.0, -800.0]), 3072, 256
    right = -log_p / D / np.log(2) + np.log2(levels / 2)
    grading.same(bits_of(log_p, D, levels), right, "bits a dimension", {
        "a sign: likely data needs few bits": log_p / D / np.log(2) + np.log2(levels / 2),
        "these are nats: divide by log 2": -log_p / D + np.log2(levels / 2),
        "bits of the whole picture: divide by D": -log_p / np.log(2) + np.log2(levels / 2),
        "data from -1 to 1 has a length of 2: levels / 2 bins in a length of 1": -log_p / D / np.log(2) + np.log2(levels),
        "the bins are missing: a density is not yet a probability": -log_p / D / np.log(2),
        "the bins make bits more, not fewer": -log_p / D / np.log(2) - np.log2(levels / 2),
        "the bins are counted in nats; it is log2": -log_p / D / np.log(2) + np.log(levels / 2),
        "the chapter's 17 levels: use the argument": -log_p / D / np.log(2) + np.log2(17 / 2),
    })


# ---- 3


def copied(images, train, held_out, share=0.01):
    threshold = np.quantile(metrics.nearest_distances(held_out, train), share)
    return (metrics.nearest_distances(images, train) < threshold).mean()


def check_small_sets():
    """sets of which the answer is known"""
    train = np.zeros((1, 2, 2, 1))
    held_out = np.arange(1, 101.0)[:, None, None, None] * np.ones((1, 2, 2, 1))  # at distances 1 to 100
    away = np.array([0.5, 1.5, 5.2, 9.0, 30.0, 200.0])
    images, between = away[:, None, None, None] * np.ones((1, 2, 2, 1)), np.arange(1, 101.0)
    for share in (0.5, 0.1, 0.05):
        limit = np.quantile(between, share)
        grading.same(copied(images, train, held_out, share), (away < limit).mean(), f"the share, threshold at {share}", {
            "this is the number; asked is the share": (away < limit).sum(),
            "copies are nearer than the threshold, not farther": (away > limit).mean(),
            "share is not used": (away < np.quantile(between, 0.01)).mean(),
            "the threshold is from the other end: all but `share` of the unseen digits are farther": (
                away < np.quantile(between, 1 - share)).mean(),
            "the threshold comes from the unseen digits, not from the images themselves": (
                away < np.quantile(away, share)).mean(),
            "a share of the largest distance; np.quantile counts pictures": (away < share * 100).mean(),
        })


# ---- 4


def mean_of_draws(draw, y, t, seeds):
    return np.mean([draw(y, t, seed) for seed in seeds], axis=0)


def check_each_seed():
    """each seed once, and a mean over the draws alone"""
    asked, y, t = [], np.arange(8.0).reshape(2, 2, 2, 1), np.array([5.0, 5.0])

    def draw(y, t, seed):
        asked.append(seed)
        return y * seed + t[:, None, None, None]

    seeds = [3, 1, 8]
    grading.same(mean_of_draws(draw, y, t, seeds), 4 * y + 5, "the mean", {
        "a sum; divide by how many seeds there are": 12 * y + 15,
        "one number: the mean runs over the draws alone, axis=0": (4 * y + 5).mean(),
        "only the first draw": 3 * y + 5,
        "only the last draw": 8 * y + 5,
        "the seeds 0, 1, 2 were used; use those that are given": y + 5,
        "all draws are there; take their mean": np.stack([s * y + 5 for s in seeds]),
        "the median; asked is the mean": 3 * y + 5,
        "each draw was given the one before it in place of y": 24 * y + 24 * 5 / 3,
    })
    if sorted(asked) != sorted(seeds):
        raise grading.WrongAnswer(f"the seeds that were drawn are {asked}, expected {seeds}, each once")
