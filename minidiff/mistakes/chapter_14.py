"""Chapter 14, measures of quality: known mistakes in a Fréchet distance, bits a dimension, copies and a mean of draws."""

import numpy as np

from ..grading import WrongAnswer, same


def frechet_diagonal(answer):
    m, s, n, r = np.array([1.0, 2.0, 0.0]), np.array([1.0, 3.0, 0.5]), np.array([0.5, 4.0, 0.0]), np.array([2.0, 1.0, 0.5])
    means, spreads = (m - n) ** 2, (s - r) ** 2
    same(answer(m, s, n, r), (means + spreads).sum(), "the distance", {
        "it is a squared distance: there is no root": np.sqrt((means + spreads).sum()),
        "the spreads are missing": means.sum(),
        "the means are missing": spreads.sum(),
        "a mean over the dimensions; they add up": (means + spreads).mean(),
        "the difference of variances; it is that of standard deviations": (means + np.abs(s**2 - r**2)).sum(),
        "the difference of variances, squared; it is that of standard deviations": (means + (s**2 - r**2) ** 2).sum(),
        "not squared": (np.abs(m - n) + np.abs(s - r)).sum(),
        "added up before they were squared; each dimension has its own square": (m - n).sum() ** 2 + (s - r).sum() ** 2,
        "one square for mean and spread together; each has its own": ((m - n + s - r) ** 2).sum(),
        "a root too many: (A B)^(1/2) has s r, where A and B have s^2 and r^2": (means + s + r - 2 * np.sqrt(s * r)).sum(),
        "the spreads are added; it is their difference": (means + (s + r) ** 2).sum(),
        "one number for each dimension: add them up": means + spreads,
        "s and n have changed places in the arguments: m, s, n, r": ((m - s) ** 2 + (n - r) ** 2).sum(),
    })


def bits_of(answer):
    log_p, D, levels = np.array([50.0, -80.0]), 12, 256
    nats = -log_p / D
    same(answer(log_p, D, levels), nats / np.log(2) + np.log2(levels / 2), "bits a dimension", {
        "a sign: likely data needs few bits": -nats / np.log(2) + np.log2(levels / 2),
        "these are nats: divide by log 2": nats + np.log2(levels / 2),
        "all is in nats: log(levels / 2) too": nats + np.log(levels / 2),
        "multiplied by log 2: a nat is more than a bit, 1 / log 2 of them": nats * np.log(2) + np.log2(levels / 2),
        "bits of the whole image: divide by D": -log_p / np.log(2) + np.log2(levels / 2),
        "data from -1 to 1 has a length of 2: levels / 2 bins in a length of 1": nats / np.log(2) + np.log2(levels),
        "the bins are missing: a density is not yet a probability": nats / np.log(2),
        "the bins make bits more, not fewer": nats / np.log(2) - np.log2(levels / 2),
        "the bins are counted in nats; it is log2": nats / np.log(2) + np.log(levels / 2),
        "the bins count for each dimension already; they are divided by D": (
            -log_p / np.log(2) + np.log2(levels / 2)) / D,
        "the chapter's 17 levels: use the argument": nats / np.log(2) + np.log2(17 / 2),
        "the chapter's 64 pixels: use the argument": -log_p / 64 / np.log(2) + np.log2(levels / 2),
        "one number for all images: each has its own": (nats / np.log(2)).mean() + np.log2(levels / 2),
    })


def copied(answer):
    def flat(brightness):
        """Images of one grey level. From black, the only training image, they are as far as they are bright."""
        return np.asarray(brightness, float)[:, None, None, None] * np.ones((1, 2, 2, 1))

    away = np.array([0.1, 0.15, 0.5, 1.5, 4.2, 9.0, 30.0, 100.0, 195.0, 326.0, 900.0, 1500.0, 1600.0])
    between = np.arange(1, 101.0) ** 2 / 20
    for share in (0.05, 0.5):
        limit = np.quantile(between, share)
        same(answer(flat(away), flat([0.0]), flat(between), share), (away < limit).mean(), f"the share, threshold at {share}", {
            "this is the number; asked is the share": (away < limit).sum(),
            "copies are nearer than the threshold, not farther": (away > limit).mean(),
            "share is not used": (away < np.quantile(between, 0.01)).mean(),
            "the threshold is from the other end: all but `share` of the unseen digits are farther": (
                away < np.quantile(between, 1 - share)).mean(),
            "the threshold comes from the unseen digits, not from the images themselves": (
                away < np.quantile(away, share)).mean(),
            "a share of the largest distance; np.quantile counts images": (away < share * between.max()).mean(),
            "a share of the mean distance; np.quantile counts images": (away < share * between.mean()).mean(),
            "which images are copies; asked is their share": away < limit,
            "the distances of the images to the unseen digits; it is those to the training digits": (
                np.abs(away[:, None] - between).min(axis=1) < limit).mean(),
            "the distances of the training digits to the images; it is the other way round": 1.0,
            "in percent; asked is a number from 0 to 1": 100 * (away < limit).mean(),
        })


def mean_of_draws(answer):
    asked, y, t = [], np.arange(8.0).reshape(2, 2, 2, 1), np.array([5.0, 5.0])

    def draw(y, t, seed):
        asked.append(seed)
        return y * seed + np.asarray(t).reshape(-1, 1, 1, 1)

    seeds = [3, 1, 8]
    same(answer(draw, y, t, seeds), 4 * y + 5, "the mean", {
        "a sum; divide by how many seeds there are": 12 * y + 15,
        "divided by one less than there are seeds, as for a variance": 6 * y + 7.5,
        "one number: the mean runs over the draws alone, axis=0": (4 * y + 5).mean(),
        "the mean runs over the images too: it runs over the draws alone, axis=0": (4 * y + 5).mean(axis=0),
        "each draw became one image, the mean of its batch: the mean runs over the draws alone, axis=0": np.stack(
            [(s * y + 5).mean(axis=0) for s in seeds]),
        "only the first draw, or the median; asked is the mean": 3 * y + 5,
        "only the last draw": 8 * y + 5,
        "the seeds 0, 1, 2 were used; use those that are given": y + 5,
        "all draws are there; take their mean": np.stack([s * y + 5 for s in seeds]),
        "each draw was given the one before it in place of y": 24 * y + 85,
        "the mean of draws that were each given the one before it in place of y": (3 * y + 5 + 3 * y + 10 + 24 * y + 85) / 3,
    })
    if sorted(asked) != sorted(seeds):
        raise WrongAnswer(f"the seeds that were drawn are {asked}, expected {seeds}, each once")
