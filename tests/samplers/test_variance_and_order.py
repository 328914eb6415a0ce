"""Samplers against exact statements, each in well under a second: the variance on Gaussian data, the order, the last step."""

import itertools
import math

import numpy as np
import pytest

from minidiff.diffusion import GaussianMixture, Schedule
from minidiff.samplers import SAMPLERS, ddim, ddpm_respaced, find
from minidiff.samplers.convergence import measure
from minidiff.samplers.gaussian_chain import generated_variance

S = Schedule.linear(200, scale_to_T=True)


def chain(schedule, times, noise_of):
    """Variance after walking `times` on data N(0, 1), by hand: there E[x0 | x] = alpha x, so every step is a multiple of x.

    noise_of(alpha_bar, alpha_bar_after) -> (multiple, variance of the fresh noise)
    """
    variance, bars = 1.0, [*schedule.alpha_bar[times], 1.0]
    for before, after in itertools.pairwise(bars):
        multiple, fresh = noise_of(before, after)
        variance = multiple**2 * variance + (fresh if after < 1 else 0.0)
    return variance


@pytest.mark.parametrize("variance", ["fixed_small", "fixed_large"])
def test_respaced_betas(variance):
    """Eight of 200 steps, each with the beta that leads from its start to its end (DDPM, equation 7)."""

    def step(before, after):
        beta = 1 - before / after
        small = beta * (1 - after) / (1 - before)
        mean = math.sqrt(after) * beta / (1 - before) * math.sqrt(before) + math.sqrt(1 - beta) * (1 - after) / (1 - before)
        return mean, small if variance == "fixed_small" else beta

    expected = chain(S, np.arange(8)[::-1] * 25, step)
    assert generated_variance(ddpm_respaced, S, steps=8, variance=variance) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("eta", [0.0, 0.4, 1.0])
def test_ddim_variance(eta):
    """DDIM, equations 12 and 16, with eta between its ends too."""

    def step(before, after):
        fresh = eta**2 * (1 - after) / (1 - before) * (1 - before / after)
        mean = math.sqrt(after * before) + math.sqrt(1 - after - fresh) * math.sqrt(1 - before)
        return mean, fresh

    expected = chain(S, np.arange(8)[::-1] * 25, step)
    assert generated_variance(ddim, S, steps=8, eta=eta) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("name", ["heun", "lms", "rk4", "dpmpp_2m", "dpm_solver", "plms"])
def test_orders(name):
    """The slope of the error is the order that the list states."""
    (row,) = measure([name], steps=(256, 1024))
    assert row.slope == pytest.approx(row.order, abs=0.15)


@pytest.mark.parametrize("name", ["reverse_diffusion", "predictor_corrector"])
def test_sde_variance(name):
    """Data N(0, 1), 200 steps: 4,000 samples have its variance, to four standard errors and the steps' own bias."""
    denoiser = GaussianMixture([[0.0]], stds=1.0).denoiser(S)
    x, options = np.random.default_rng(0).standard_normal((4000, 1)), {"snr": 0.1} if name == "predictor_corrector" else {}
    *_, step = find(name).function(denoiser, x, steps=200, rng=np.random.default_rng(1), **options)
    assert step.x.var() == pytest.approx(1.0, abs=4 * math.sqrt(2 / 4000) + 0.02)


@pytest.mark.parametrize("name", [name for name, row in SAMPLERS.items() if row.steps is not None and name != "ddpm_subset"])
def test_every_sampler_ends_clean(name):
    """A point for data: whatever the sampler, twenty steps end there, at a finite number."""
    denoiser = GaussianMixture([[0.7, -0.2]], stds=1e-3).denoiser(Schedule.linear(1000))
    x = np.random.default_rng(0).standard_normal((5, 2))
    *_, step = SAMPLERS[name].function(denoiser, x, steps=20, rng=0)
    np.testing.assert_allclose(step.x, np.tile([0.7, -0.2], (5, 1)), atol=5e-3)
