"""Chapter 14: the answers to its exercises, and their hidden tests, one point each. Both run in the chapter's own names."""

import numpy as np

from minidiff import grading, metrics

WITHOUT = {  # what an answer may not call
    "frechet_diagonal": ["frechet", "minidiff.metrics.frechet_distance"],
    "bits_of": ["minidiff.diffusion.bits_per_dim"],
}

# ---- 1


def frechet_diagonal(m, s, n, r):
    return ((m - n) ** 2 + (s - r) ** 2).sum()


def check_each_dimension():
    """one dimension, many, and spreads of 0, by the trace formula"""
    m, s, n, r = (np.array([value]) for value in (-2.0, 0.0, 1.0, 4.0))
    grading.same(frechet_diagonal(m, s, n, r), 25.0, "the distance of means -2, 1 and spreads 0, 4")
    for D in (2, 7, 300):
        rng = np.random.default_rng(D)
        m, n, s, r = rng.standard_normal(D), rng.standard_normal(D), rng.random(D), 3 * rng.random(D)
        A, B = np.diag(s**2), np.diag(r**2)
        right = np.linalg.norm(m - n) ** 2 + np.trace(A + B - 2 * np.sqrt(A @ B))
        grading.same(frechet_diagonal(m, s, n, r), right, f"the distance in {D} dimensions")


# ---- 2


def bits_of(log_p, D, levels):
    return -log_p / (D * np.log(2)) + np.log2(levels / 2)


def check_other_data():
    """one number and a table of images, two grey levels and 256"""
    grading.same(bits_of(0.0, 5, 2), 0.0, "where the density is 1 and the bins are 1 wide")
    grading.same(bits_of(-3072 * np.log(2), 3072, 256), 8.0, "of a flat density on [-1, 1], 256 levels")
    log_p = np.array([[5000.0, -800.0, 0.0], [-10.0, 20.0, 1e5]])
    right = -np.log2(np.exp(log_p / 3072) * (2 / 1000))  # of the probability of one bin
    grading.same(bits_of(log_p, 3072, 1000), right, "bits a dimension, 1000 levels")


# ---- 3


def copied(images, train, held_out, share=0.01):
    threshold = np.quantile(metrics.nearest_distances(held_out, train), share)
    return (metrics.nearest_distances(images, train) < threshold).mean()


def check_small_sets():
    """sets of which the answer is known, with two training images, three channels, and the share left out"""
    def grey(values):
        return np.array(values, float)[:, None, None, None] * np.ones((1, 3, 2, 3))

    near = [*np.arange(1.0, 101), *np.arange(901.0, 1000), 6000.0]  # at distances 1, 1, 2, 2, ... 99, 99, 100, 5000
    train, held_out = grey([0.0, 1000.0]), grey(near)
    images = grey([0.5, 1000.5, 3.3, 994.4, 500.0, -60.0, 1200.0, 20.2])  # at 0.5, 0.5, 3.3, 5.6, 500, 60, 200, 20.2
    for options, right in (({}, 0.25), ({"share": 0.04}, 0.375), ({"share": 0.1}, 0.5), ({"share": 0.9}, 0.75)):
        grading.same(copied(images, train, held_out, **options), right, f"the share, with {options or 'share left out'}")
    grading.same(copied(grey([50.0]), train, held_out, 0.2), 0.0, "the share of one image that is no copy")


# ---- 4


def mean_of_draws(draw, y, t, seeds):
    return np.mean([draw(y, t, seed) for seed in seeds], axis=0)


def check_each_seed():
    """each seed once, in order or not, and a mean over the draws alone; of one seed, and of images that differ"""
    for seeds in ([7], range(2, 6), (5, 5, 2)):
        asked, y, t = [], np.random.default_rng(1).standard_normal((3, 2, 4, 1)), np.array([5.0, 0.0, 9.0])

        def draw(y, t, seed, asked=asked):
            asked.append(seed)
            return np.cos(seed) * y**2 + seed * t[:, None, None, None]

        cosines, total = [np.cos(seed) for seed in seeds], sum(seeds)
        right = sum(cosines) / len(seeds) * y**2 + total / len(seeds) * t[:, None, None, None]
        grading.same(mean_of_draws(draw, y, t, seeds), right, f"the mean over seeds {list(seeds)}")
        if sorted(asked) != sorted(seeds):
            raise grading.WrongAnswer(f"the seeds that were drawn are {asked}, expected {list(seeds)}, each once")
