"""Samplers that are the same thing by another name must give the same numbers."""

import itertools

import numpy as np
import pytest
from torch_random import TorchRandom

from minidiff import samplers
from minidiff.diffusion import Denoiser, Schedule

S = samplers


def model(x, t, cond=None):
    return 0.8 * x * (t / (t + 1)) + 0.2 * np.sin(2 * x + t / 100)


@pytest.fixture
def denoiser():
    return Denoiser(model, Schedule.linear(200, 5e-4, 0.1))


@pytest.fixture
def x():
    return np.random.default_rng(0).normal(size=(3, 4))  # float64


def last(run):
    *_, step = run
    return step.x


POINTS = dict(spacing="linspace", skip_last=True)
TWINS = {
    "Euler is DDIM": (S.euler, POINTS, S.ddim, POINTS),
    "DPM-Solver-1 is DDIM": (S.dpm_solver, dict(order=1), S.ddim, POINTS),
    "DPM-Solver++ of order 1 is DDIM": (S.dpmpp_2s, dict(order=1), S.ddim, POINTS),
    "UniP-1 is DDIM": (S.unipc, dict(order=1, corrector=False), S.ddim, POINTS),
    "LMS of order 1 is Euler": (S.lms, dict(order=1), S.euler, {}),
    "Euler ancestral without noise is Euler": (S.euler_ancestral, dict(eta=0.0), S.euler, {}),
    "SDE-DPM-Solver++ without noise is DPM-Solver++": (S.dpmpp_2m_sde, dict(eta=0.0), S.dpmpp_2m, {}),
    "Euler ancestral is DDIM with eta 1": (S.euler_ancestral, POINTS, S.ddim, POINTS | dict(eta=1.0)),
    "DDPM is DDIM with eta 1": (S.ddpm_respaced, POINTS, S.ddim, POINTS | dict(eta=1.0)),
    "a predictor alone is reverse diffusion": (S.predictor_corrector, dict(corrector_steps=0), S.reverse_diffusion, {}),
    "Heun on one step to clean is Euler": (S.heun, dict(steps=[150]), S.euler, dict(steps=[150])),
    "plain times are times": (S.ddim, dict(steps=[160, 120, 80, 40, 0]), S.ddim, dict(steps=5)),
    "PLMS of one step is DDIM": (S.plms, dict(steps=[120]), S.ddim, dict(steps=[120])),
}


@pytest.mark.parametrize("twins", TWINS)
def test_twins(twins, denoiser, x):
    one, its_options, other, other_options = TWINS[twins]
    a = last(one(denoiser, x, **({"steps": 20, "rng": TorchRandom(0)} | its_options)))
    b = last(other(denoiser, x, **({"steps": 20, "rng": TorchRandom(0)} | other_options)))
    np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9)


def test_ddpm_s_three_forms_agree_on_all_steps(denoiser, x):
    full = last(S.ddpm(denoiser, x, rng=TorchRandom(0)))
    np.testing.assert_array_equal(full, last(S.ddpm_respaced(denoiser, x, steps=200, rng=TorchRandom(0))))
    np.testing.assert_array_equal(full, last(S.ddpm_subset(denoiser, x, steps=200, rng=TorchRandom(0))))


def test_sigmas_given_are_the_spacing_s_own(denoiser, x):
    trajectory = S.Trajectory(denoiser, x, 12, spacing="karras")
    levels = [point.s for point in trajectory.points]
    assert levels[-1] == 0 and all(a > b for a, b in itertools.pairwise(levels))
    np.testing.assert_allclose(last(S.heun(denoiser, x, 12)), last(S.heun(denoiser, x, sigmas=levels)), rtol=1e-9)


def test_runge_kutta_warm_up_is_only_for_the_first_three_steps(denoiser, x):
    calls = []
    counted = Denoiser(lambda x, t, c: calls.append(t) or model(x, t), denoiser.schedule)
    last(S.plms(counted, x, 10))
    assert len(calls) == 3 * 4 + 7
    calls.clear()
    last(S.plms(counted, x, 10, warm_up="none"))
    assert len(calls) == 11


def test_inversion_round_trip(denoiser, x):
    """DDIM of DDIM's inverse: near, the more steps the nearer; exact once the inverse is refined."""

    def error(steps, refine):
        noise = last(S.ddim_invert(denoiser, x, steps, refine=refine))
        return np.abs(last(S.ddim(denoiser, noise, steps)) - x).max()

    assert error(200, 0) < 0.1 < error(10, 0)
    assert error(20, 30) < 1e-9
    assert error(200, 4) < error(200, 0) / 100
