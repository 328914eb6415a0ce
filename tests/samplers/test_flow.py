"""Sampling along flows: exact ends and slopes on Gaussian data, the equation with noise, and what else runs on a flow.

Data N(m, s^2): the flow carries x_1, pure noise, to m + s x_1, through alpha m + x_1 sqrt(alpha^2 s^2 + sigma^2).
"""

import math

import numpy as np
import pytest

import minidiff
from minidiff.diffusion import Denoiser, Flow, GaussianMixture, Interpolant, Schedule, cfg
from minidiff.samplers import SAMPLERS, ddim, ddim_invert, flow_euler, inpaint, sdedit
from minidiff.samplers.gaussian_chain import generated_variance

M, S = 0.3, 0.5
X = np.array([[-1.25], [0.5], [1.0]])
METHODS = {"flow_euler": 1, "flow_midpoint": 3, "flow_heun": 2, "flow_rk4": 4}  # midpoint: see test_convergence
ROUND = Interpolant(lambda t: np.cos(np.pi / 2 * t), lambda t: np.sin(np.pi / 2 * t))


def best(process=None, mixture=None):
    """The best velocity of Gaussian data, or of a mixture, as a model."""
    process, mixture = process or Flow(), mixture or GaussianMixture([[M]], stds=S)

    def model(x, t, cond):
        alpha, sigma = process.alpha(t), process.sigma(t)
        return -sigma * mixture.score(x, alpha, sigma, cond) - mixture.x0_mean(x, alpha, sigma, cond)

    return Denoiser(model, process, "velocity")


def last(run):
    *_, step = run
    return step.x


@pytest.mark.parametrize("process", [Flow(), Flow(3.0), ROUND], ids=repr)
@pytest.mark.parametrize("name", METHODS)
def test_from_pure_noise_to_the_data_at_the_order_of_the_method(name, process):
    """On uniform times from 1 to t_min, where the exact flow has alpha m + x_1 sqrt(alpha^2 s^2 + sigma^2)."""
    alpha, sigma = process.alpha(process.t_min), process.sigma(process.t_min)
    truth = alpha * M + X * math.hypot(alpha * S, sigma)
    errors = []
    for n in (256, 1024) if (name, process) == ("flow_heun", ROUND) else (32, 128):  # Heun's error is small there, and late
        times = np.linspace(1, process.t_min, n + 1)[:-1]
        errors.append(abs(last(SAMPLERS[name].function(best(process), X, steps=times, final="sigma_min")) - truth).max())
    slope = math.log(errors[0] / errors[1]) / math.log(4)
    assert abs(slope - METHODS[name]) < 0.25, errors


@pytest.mark.parametrize("name", [*METHODS, "ddim", "dpmpp_2m", "dpmpp_2s", "unipc", "dpm_solver"])
def test_a_short_run_by_default_ends_at_the_data(name):
    """32 steps of the defaults, to the clean image: m + s x_1, within what a last step of Euler's leaves."""
    np.testing.assert_allclose(last(SAMPLERS[name].function(best(), X, steps=32)), M + S * X, atol=0.07)
    np.testing.assert_allclose(last(SAMPLERS[name].function(best(), X, steps=256)), M + S * X, atol=0.01)


def test_one_step_is_enough_where_paths_are_straight():
    """One point of data: every path leads there straight, so any number of Euler's steps ends at it."""
    point = best(mixture=GaussianMixture([[M]], stds=0.0))
    for name in METHODS:
        for steps in (1, 7):
            np.testing.assert_allclose(last(SAMPLERS[name].function(point, X, steps=steps)), M, rtol=1e-12)


def test_on_the_straight_path_ddim_is_eulers_method():
    for options in (dict(steps=10), dict(steps=[0.9, 0.5, 0.2], final="sigma_min"), dict(steps=5, start=2)):
        grid = {} if np.ndim(options["steps"]) else {"spacing": "linspace", "skip_last": True}
        np.testing.assert_allclose(
            last(ddim(best(), X, **options, **grid)), last(flow_euler(best(), X, **options, **grid)), rtol=1e-12
        )


def test_default_times_are_even_and_shifted():
    """1, 1 - 1 / n, ..., 1 / n, to t_min; a shift of 3 takes u to 3 u / (1 + 2 u)."""
    u = 1 - np.arange(8) / 8
    for shift in (1.0, 3.0):
        times = [step.t for step in flow_euler(best(Flow(shift)), X, steps=8)]
        np.testing.assert_allclose(times, shift * u / (1 + (shift - 1) * u), atol=3e-5)


def test_the_equation_with_noise_has_the_flows_marginals():
    """The variance that it generates, exactly: first order in the number of steps, whatever the noise."""
    for eta in (0.3, 1.0, 3.0):
        errors = [abs(generated_variance(SAMPLERS["flow_sde"].function, Numbered(n), S, steps=n, eta=eta) / S**2 - 1)
                  for n in (50, 200)]  # fmt: skip
        assert errors[1] < 0.05 and math.log(errors[0] / errors[1]) / math.log(4) > 0.9, (eta, errors)


class Numbered(Flow):
    """A flow with a T, by which `generated_variance` knows how many draws there may be. It has alpha(1) = 1e-9."""

    def __init__(self, T):
        super().__init__()
        self.draws = T

    def __getattr__(self, name):
        if name == "T":
            return self.__dict__["draws"]
        raise AttributeError(name)


def test_halfway_the_equation_with_noise_is_where_the_flow_is():
    """At t = 0.5: mean 0.5 m, variance 0.25 s^2 + 0.25; 20,000 draws, to four standard errors and 1 % of step error."""
    x = np.random.default_rng(0).standard_normal((20_000, 1))
    times = np.linspace(1, 0.5, 101)
    x = next(step.x for i, step in enumerate(SAMPLERS["flow_sde"].function(best(), x, steps=times, rng=1)) if i == 99)
    variance = 0.25 * S**2 + 0.25
    assert abs(x.mean() - 0.5 * M) < 4 * math.sqrt(variance / 20_000) + 0.01 * M
    assert abs(x.var() / variance - 1) < 4 * math.sqrt(2 / 20_000) + 0.01


def test_a_mixture_is_sampled_with_both_its_classes():
    """Shares and spreads of two Gaussians, by 2,000 samples, to four standard errors."""
    mixture = GaussianMixture([[-1.0], [1.0]], stds=[0.2, 0.1], weights=[0.3, 0.7])
    for name in ("flow_heun", "flow_sde"):
        x = minidiff.sample(name, best(mixture=mixture), (2_000, 1), steps=100, rng=0, dtype=np.float64)
        right = x[x > 0]
        assert abs(len(right) / 2_000 - 0.7) < 4 * math.sqrt(0.21 / 2_000), name
        assert abs(right.mean() - 1) < 4 * 0.1 / math.sqrt(len(right)) + 0.005
        assert abs(right.std() / 0.1 - 1) < 0.1


def test_guidance_on_a_flow_is_the_tilted_velocity():
    """u = u_any + (1 + w) (u_class - u_any): linear in x0 and in eps, so in the velocity."""
    mixture = GaussianMixture([[-1.0], [1.0]], stds=0.5)
    plain = mixture.denoiser(Flow())
    (x0, eps), (x0_any, eps_any) = plain(X, 0.4, 1), plain(X, 0.4, -1)
    guided_x0, guided_eps = cfg(plain, 1, 2.0)(X, 0.4)
    np.testing.assert_allclose(guided_eps - guided_x0, (eps_any - x0_any) + 3 * (eps - x0 - eps_any + x0_any), rtol=1e-10)


def test_inversion_and_editing_run_on_a_flow():
    mixture = GaussianMixture([[-1.0], [1.0]], stds=0.5)
    denoiser, clean = best(mixture=mixture), np.array([[0.8], [-1.2]])
    noise = last(ddim_invert(denoiser, clean, steps=200, refine=3))
    np.testing.assert_allclose(last(ddim(denoiser, noise, steps=200)), clean, atol=1e-3)
    edited = last(sdedit(denoiser, clean, strength=0.3, steps=20, rng=0))
    assert edited.shape == clean.shape and abs(edited - clean).max() < 2
    filled = last(inpaint(denoiser, clean, np.array([[1.0], [0.0]]), steps=20, rng=0))
    assert filled[0] == pytest.approx(clean[0], abs=1e-4) and np.isfinite(filled).all()


def test_schedules_of_steps_run_too():
    """A Schedule's exact flow, from its noisiest step to its cleanest, in the time sigma / (alpha + sigma)."""
    schedule = Schedule.cosine(1000)
    denoiser = GaussianMixture([[M]], stds=S).denoiser(schedule)
    first, end = (math.hypot(schedule.alpha(t) * S, schedule.sigma(t)) for t in (999, 0))
    truth = schedule.alpha(0) * M + (X - schedule.alpha(999) * M) * end / first
    for name in METHODS:
        np.testing.assert_allclose(
            last(SAMPLERS[name].function(denoiser, X, steps=200, spacing="linspace", final="sigma_min")), truth, atol=5e-3
        )
