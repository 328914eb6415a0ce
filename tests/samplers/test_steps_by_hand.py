"""Single steps of the stochastic samplers, worked out from the papers' algorithms with the same draws of noise."""

import itertools
import math

import numpy as np
import pytest

from minidiff import samplers
from minidiff.diffusion import EDM, VE, Denoiser, Schedule
from minidiff.samplers.dpmpp import _Lower

S = Schedule.linear(20, scale_to_T=True)
X = np.random.default_rng(0).standard_normal((3, 4))


def model(x, t, cond=None):
    return 0.3 * x + 0.05 * np.cos(x) + 0.01


class Draws:
    """A generator whose k-th draw is known: it is drawn again from the same seed."""

    def __init__(self, seed=7):
        self.rng = np.random.default_rng(seed)

    def __next__(self):
        return self.rng.standard_normal(X.shape)


def length(x):
    return np.sqrt((x * x).sum(axis=1)).mean()


@pytest.mark.parametrize("schedule, times", ((S, [15, 9]), (VE(), [0.6, 0.3])), ids=("VP", "VE"))
@pytest.mark.parametrize("moves", (0, 1, 3))
def test_predictor_corrector(schedule, times, moves):
    """Song et al. 2021, algorithms 2 to 5: e = 2 a (r |z| / |score|)^2, a = 1 - beta of the step for VP and 1 for VE."""
    (t, t_next), r, z = times, 0.2, Draws()
    run = samplers.predictor_corrector(Denoiser(model, schedule), X, times, moves, r, rng=np.random.default_rng(7))
    alpha, sigma, alpha_next, sigma_next = (f(s) for s in times for f in (schedule.alpha, schedule.sigma))
    keep = (alpha / alpha_next) ** 2  # 1 - beta
    added = sigma**2 - keep * sigma_next**2
    x = (2 - math.sqrt(keep)) * X + added * (-model(X, t) / sigma) + math.sqrt(added) * next(z)
    for _ in range(moves):
        score, noise = -model(x, t_next) / sigma_next, next(z)
        e = 2 * keep * (r * length(noise) / length(score)) ** 2
        x = x + e * score + math.sqrt(2 * e) * noise
    np.testing.assert_allclose(next(run).x, x, rtol=1e-10)


def test_reverse_diffusion_ends_with_the_mean():
    """Song et al. 2021, equation 46; the last step adds no noise."""
    *_, last = samplers.reverse_diffusion(Denoiser(model, S), X, [15], rng=0)
    alpha, sigma = S.alpha(15), S.sigma(15)
    np.testing.assert_allclose(last.x, (2 - alpha) * X - sigma * model(X, 15), rtol=1e-12)


@pytest.mark.parametrize("churn, s_noise", ((0.4, 1.0), (1.0, 1.1), (40.0, 1.0)))
def test_heun_with_churn(churn, s_noise):
    """Karras et al. 2022, algorithm 2, on EDM's process, where x is x and t is sigma. Two steps, so gamma = churn / 2."""
    levels, z = [5.0, 2.0, 0.5], Draws()
    run = samplers.heun(
        Denoiser(model, EDM(), "x0"), X, sigmas=levels, s_churn=churn, s_noise=s_noise, rng=np.random.default_rng(7)
    )
    x, gamma = X, min(churn / 2, math.sqrt(2) - 1)
    for (sigma, sigma_next), step in zip(itertools.pairwise(levels), run, strict=True):
        hat = sigma * (1 + gamma)
        x = x + math.sqrt(hat**2 - sigma**2) * s_noise * next(z)
        d = (x - model(x, hat)) / hat
        euler = x + (sigma_next - hat) * d
        x = x + (sigma_next - hat) * (d + (euler - model(euler, sigma_next)) / sigma_next) / 2
        np.testing.assert_allclose(step.x, x, rtol=1e-9)


def test_churn_only_between_its_noise_levels():
    """Between s_min and s_max noise is added; outside, a step is that of a run without churn."""
    options = dict(sigmas=[5.0, 2.0], rng=0)
    quiet = next(samplers.heun(Denoiser(model, EDM(), "x0"), X, **options)).x
    for low, high, noisy in ((0, 4.9, False), (5.1, 9, False), (5, 5, True), (0, 5, True), (5, 9, True)):
        (low, high), noise = (v * (1 + s * 1e-9) for v, s in ((low, -1), (high, 1))), dict(s_churn=1.0)
        x = next(samplers.heun(Denoiser(model, EDM(), "x0"), X, **options, **noise, s_min=low, s_max=high)).x
        assert np.array_equal(x, quiet) != noisy


@pytest.mark.parametrize("eta", (0.0, 0.5, 1.0))
def test_euler_ancestral(eta):
    """k-diffusion, sample_euler_ancestral: down to sigma_down, then noise of sigma_up; the squares add up."""
    sigma, sigma_next, z = 3.0, 1.0, Draws()
    run = samplers.euler_ancestral(
        Denoiser(model, EDM(), "x0"), X, sigmas=[sigma, sigma_next], eta=eta, rng=np.random.default_rng(7)
    )
    up = eta * math.sqrt(sigma_next**2 * (sigma**2 - sigma_next**2) / sigma**2)
    down = math.sqrt(sigma_next**2 - up**2)
    expected = X + (down - sigma) * (X - model(X, sigma)) / sigma + up * next(z)
    np.testing.assert_allclose(next(run).x, expected, rtol=1e-9)


@pytest.mark.parametrize("final, euler, most, left, steps, ends_clean, order", [
    (True, False, 3, 9, 10, True, 3), (True, False, 3, 2, 10, False, 2), (True, False, 3, 1, 10, False, 1),
    (True, False, 3, 2, 15, True, 3), (True, False, 3, 2, 14, True, 2), (True, False, 2, 2, 10, True, 2),
    (True, False, 1, 2, 10, True, 1), (True, False, 3, 1, 15, False, 3), (True, False, 3, 1, 15, True, 1),
    (False, False, 3, 2, 10, False, 3), (False, False, 3, 1, 10, False, 3), (False, False, 3, 1, 10, True, 1),
    (False, True, 3, 2, 10, False, 3), (False, True, 3, 1, 99, False, 1), (False, True, 2, 3, 99, False, 2),
])  # fmt: skip
def test_when_a_multistep_run_comes_down_to_a_lower_order(final, euler, most, left, steps, ends_clean, order):
    """As diffusers' DPMSolverMultistepScheduler: with fewer than 15 steps, or where the run ends clean, or when told to."""
    assert _Lower(final, euler).order(most, left, steps, ends_clean) == order
