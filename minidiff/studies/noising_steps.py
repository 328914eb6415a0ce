"""Is a very high T better? From 10 noising steps to 4000: exact on Gaussian data, measured on digits at equal budget.

Betas are the linear ones scaled by 1000 / T, so that every T ends at about the same noise. On data N(0, 1) the variance that
the full chain generates is known exactly, and so is what float32 adds to it. On the digits, the study trains an MLP for each T
and training seed with the same number of training steps. It samples each by the full chain and by 10 steps of DDIM.
"""

import numpy as np

from ..diffusion import GaussianMixture, Schedule
from ..samplers import ddpm
from ..samplers.gaussian_chain import generated_variance
from . import digits, small
from .plot import curves, finish, panels
from .table import over_seeds

TS = (10, 20, 50, 100, 250, 1000, 4000)
TRAINED = (10, 50, 250, 1000, 4000)
SAMPLED = {"ddpm, all T steps": ("ddpm", {}), "ddim, 10 steps": ("ddim", {"steps": 10, "spacing": "trailing"})}


def run(options):
    """Rows: data, T, variance rule; variance and rounding on Gaussian data; frechet and accuracy on digits, by sampler."""
    for T in options.size(TS, (10, 50)):
        schedule = Schedule.linear(T, scale_to_T=True)
        for rule in ("fixed_small", "fixed_large"):
            variance = generated_variance(ddpm, schedule, variance=rule)
            yield {"data": "N(0, 1)", "T": T, "sampler": "ddpm", "variance_rule": rule, "variance": variance,
                   "float32_error": rounding(schedule, rule) if rule == "fixed_small" else None}  # fmt: skip
    judge, n = digits.judge(options), options.size(200, 20)
    for T in options.size(TRAINED, (10, 50)):
        schedule = Schedule.linear(T, scale_to_T=True)
        trained = {seed: small.mlp(options, seed, f"T/{T}", schedule) for seed in options.seeds}
        for label, (sampler, fixed) in SAMPLED.items():
            measured = over_seeds(options.seeds, lambda seed, s=sampler, f=fixed, d=trained: judge.look(
                digits.draw_samples(s, d[seed], n, seed, **f), digits.asked_classes(n)))  # fmt: skip
            yield {"data": "digits", "T": T, "sampler": label, "samples": n, **measured}


def rounding(schedule, rule, n=200):
    """How far a chain in float32 ends from the same chain in float64: root mean square over n samples of N(0, 1) data."""
    denoiser = GaussianMixture([[0.0]], stds=1.0).denoiser(schedule)
    x = np.random.default_rng(0).standard_normal((n, 1)).astype(np.float32)
    ends = []
    for dtype in (np.float32, np.float64):
        *_, step = ddpm(denoiser, x.astype(dtype), variance=rule, rng=Float32Draws(np.random.default_rng(1)))
        ends.append(step.x.astype(np.float64))
    return float(np.sqrt(((ends[0] - ends[1]) ** 2).mean()))


class Float32Draws:
    """A generator whose normal numbers are float32 ones, whatever dtype they are asked in."""

    def __init__(self, rng):
        self.rng = rng

    def standard_normal(self, size, dtype=np.float64):
        return self.rng.standard_normal(size, dtype=np.float32).astype(dtype)


def draw(rows):
    figure, (left, middle, right) = panels(13, 4.2, 3)
    gaussian, real = ([row for row in rows if row["data"] == data] for data in ("N(0, 1)", "digits"))
    ticks = [10, 50, 250, 1000, 4000]
    curves(left, gaussian, "T", "variance", "variance_rule")
    left.axhline(1, color="#868e96", linewidth=0.8, linestyle=(0, (1, 1)))
    finish(left, "steps T", "variance of the samples (true: 1)", "Gaussian data, exact", legend=True, log="x", ticks=ticks)
    curves(middle, [row for row in gaussian if row["variance_rule"] == "fixed_small"], "T", "float32_error")
    finish(middle, "steps T", "root mean square", "Error of a float32 chain", log="xy", ticks=ticks)
    curves(right, real, "T", "frechet", "sampler")
    finish(right, "steps T", "Fréchet distance", "Digits, same training budget for each T", legend=True, log="xy", ticks=ticks)
    return figure
