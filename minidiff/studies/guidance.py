"""What does the guidance weight do? Accuracy against diversity on the digits, and a mixture where the tilted density is known.

eps = (1 + w) eps(c) - w eps(null). On the mixture, the study computes the tilted density p(x | c)^(1 + w) / p(x)^w that w seems
to define, and compares it with guided samples of the perfect denoiser.
"""

import numpy as np

from ..diffusion import GaussianMixture, Schedule, cfg
from ..metrics import features
from ..samplers import sample
from . import digits
from .plot import colour, curves, finish, panels, side_by_side
from .table import over_seeds

WEIGHTS = (-1.0, -0.5, 0.0, 0.5, 1.0, 2.0, 4.0, 8.0)
PAIR = GaussianMixture([[-1.0], [1.0]], stds=1.0)  # two classes that overlap; guided to the right one


def run(options):
    """Rows: data, weight; accuracy, diversity, frechet on digits; mean and std, of samples and of the tilted density."""
    denoiser, judge, pictures = digits.trained(options), digits.judge(options), []
    n = options.size(300, 10)
    asked = digits.asked_classes(n)
    real = diversity(judge.real, judge.labels)
    for w in options.size(WEIGHTS, (0.0, 2.0)):
        kept = {}

        def measure(seed, w=w, kept=kept):
            guided = cfg(denoiser, asked, w)
            kept[seed] = x = digits.draw_samples(
                "ddim", guided, n, seed, cond=False, steps=options.size(25, 4), spacing="trailing"
            )
            spread = diversity(features(judge.net, x), asked) / real
            return judge.look(x, asked) | {"diversity": spread, "out_of_range": float((abs(x) > 1.05).mean())}

        yield {"data": "digits", "weight": w, "samples": n, **over_seeds(options.seeds, measure)}
        pictures.append((f"w = {w:g}", kept[options.seeds[0]][:20]))
    side_by_side(pictures, options.out / "guidance_samples.png")
    exact = PAIR.denoiser(Schedule.linear(options.size(1000, 50), scale_to_T=True))
    for w in options.size(WEIGHTS[2:], (0.0, 2.0)):
        m = options.size(4000, 200)

        def measure(seed, w=w, m=m):
            guided = cfg(exact, np.ones(m, np.int64), w)
            x = sample("ddim", guided, (m, 1), steps=options.size(250, 20), rng=seed, dtype=np.float64)
            return {"mean": float(x.mean()), "std": float(x.std())}

        mean, std = tilted_moments(w)
        yield {"data": "mixture", "weight": w, "samples": m, **over_seeds(options.seeds, measure), "tilted_mean": mean,
               "tilted_std": std}  # fmt: skip


def diversity(vectors, labels):
    """Mean distance of two samples of one class, in the judge's features, averaged over the classes."""
    spreads = []
    for label in np.unique(labels):
        own = vectors[labels == label]
        squares = (own**2).sum(axis=1)
        distances = np.sqrt(np.clip(squares[:, None] + squares - 2 * own @ own.T, 0, None))
        spreads.append(distances.sum() / max(1, len(own) * (len(own) - 1)))
    return float(np.mean(spreads))


def tilted_moments(w):
    """Mean and standard deviation of p(x | c)^(1 + w) / p(x)^w, by a sum over a fine grid."""
    x = np.linspace(-12, 40, 40_001)[:, None]
    log_p = (1 + w) * PAIR.log_prob(x, cond=1) - w * PAIR.log_prob(x)
    p = np.exp(log_p - log_p.max())
    p, x = p / p.sum(), x[:, 0]
    mean = (p * x).sum()
    return float(mean), float(np.sqrt((p * (x - mean) ** 2).sum()))


def draw(rows):
    figure, (left, middle, right) = panels(13, 4.2, 3)
    real = [row for row in rows if row["data"] == "digits"]
    curves(left, real, "weight", "accuracy", color=colour(0), label="accuracy: share with the requested class")
    guided = [row for row in real if row["weight"] >= 0]  # below, a class's samples are of many classes
    curves(left, guided, "weight", "diversity", color=colour(1), label="diversity within a class (real digits: 1)")
    finish(left, "guidance weight w", None, "Digits: accuracy and diversity", legend=True)
    left.set_ylim(0, 1.15)
    curves(middle, real, "weight", "frechet")
    finish(middle, "guidance weight w", "Fréchet distance", "Digits: distance to real digits")
    exact = [row for row in rows if row["data"] == "mixture"]
    for i, key in enumerate(("mean", "std")):
        curves(right, exact, "weight", key, color=colour(i), label=f"{key} of guided samples")
        dashed = {"color": colour(i), "linestyle": "--", "marker": ""}
        curves(right, exact, "weight", f"tilted_{key}", label=f"{key} of the tilted density", **dashed)
    finish(right, "guidance weight w", None, "Two Gaussians, perfect denoiser", legend=True)
    return figure
