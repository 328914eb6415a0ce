"""Every deterministic sampler nears the exact answer at the rate its order says."""

import itertools
import math

import numpy as np
import pytest

from minidiff import samplers
from minidiff.diffusion import Schedule
from minidiff.diffusion.continuous import EDM, VE, VP, SubVP
from minidiff.diffusion.mixture import GaussianMixture
from minidiff.samplers import convergence
from minidiff.samplers.gaussian_chain import generated_variance
from minidiff.samplers.lms import weights

DETERMINISTIC = [row.name for row in samplers.SAMPLERS.values() if row.deterministic]


@pytest.fixture(scope="module")
def rows():
    return {row.name: row for row in convergence.measure()}


@pytest.mark.parametrize("name", [name for name in DETERMINISTIC if name != "probability_flow"])
def test_slope_is_the_order(name, rows):
    order = 3 if name == "flow_midpoint" else rows[name].order  # see the test below
    assert abs(rows[name].slope - order) < 0.15, rows[name]


def test_the_midpoint_method_is_of_third_order_on_one_gaussian_and_of_second_on_two():
    """y' = a(tau) y has y''' = (a'' + 3 a a' + a^3) y, and a step of the midpoint method an error of h^3 (a'' + 6 a a' + 4 a^3)
    y / 24, which is h^3 (y^2)''' / (48 y). On one Gaussian y^2 is in proportion to ((1 - tau) s)^2 + tau^2, so it is 0."""
    x, ends = 5.0 * np.array([[-1.25], [0.5], [1.0]]), (math.log(5.0), math.log(0.05))

    def last(name, mixture, n):
        *_, step = samplers.find(name).function(mixture.denoiser(EDM()), x, sigmas=np.exp(np.linspace(*ends, n + 1)))
        return step.x

    two = GaussianMixture([[-0.8], [1.1]], stds=[0.5, 0.3])
    for mixture, order in ((GaussianMixture([[0.3]], stds=0.5), 3), (two, 2)):
        truth = last("flow_rk4", mixture, 1000)
        few, many = (abs(last("flow_midpoint", mixture, n) - truth).max() for n in (50, 200))
        assert math.log(few / many) / math.log(4) == pytest.approx(order, abs=0.1)


def test_orders_are_those_of_the_papers():
    orders = {name: samplers.find(name).order for name in DETERMINISTIC}
    assert orders == {
        "ddim": 1, "euler": 1, "dpm_solver_1": 1, "dpm_solver_2": 2, "dpm_solver": 3, "dpmpp_2s": 2, "dpmpp_3s": 3,
        "dpmpp_2m": 2, "dpmpp_3m": 3, "heun": 2, "plms": 2, "unipc": 3, "lms": 4, "rk4": 4, "probability_flow": 5,
        "flow_euler": 1, "flow_midpoint": 2, "flow_heun": 2, "flow_rk4": 4,
    }  # fmt: skip


@pytest.mark.parametrize("name, order, options", [
    ("dpm_solver", 3, {"solver": "heun"}), ("dpm_solver_2", 2, {"solver": "heun"}), ("dpmpp_2m", 2, {"solver": "heun"}),
    ("dpmpp_2m", 1, {"order": 1}), ("dpmpp_2m", 2, {"interpolates": "eps"}), ("dpmpp_3m", 3, {"interpolates": "eps"}),
    ("dpmpp_3m", 2, {"bend": "halved"}),
    ("dpmpp_2s", 2, {"solver": "heun"}), ("unipc", 2, {"corrector": False}), ("unipc", 2, {"order": 1}),
    ("unipc", 3, {"solver": "bh1"}), ("unipc", 3, {"interpolates": "eps"}),
    ("unipc", 4, {"order": 3, "lower_order_final": False}),
    ("lms", 1, {"order": 1}), ("lms", 2, {"order": 2}), ("lms", 3, {"order": 3}), ("plms", 2, {"warm_up": "none"}),
])  # fmt: skip
def test_slopes_of_the_variants(name, order, options):
    errors = [convergence.error(samplers.find(name).function, steps, **options) for steps in (256, 1024)]
    assert abs(math.log(errors[0] / errors[1]) / math.log(4) - order) < 0.2, errors


def test_adaptive_solver_keeps_its_tolerance():
    errors = {tol: convergence.error(samplers.probability_flow, 1, rtol=tol, atol=tol) for tol in (1e-4, 1e-6, 1e-8)}
    for tol, error in errors.items():
        assert error < 5 * tol, errors
    assert errors[1e-8] < errors[1e-4] / 1e3


@pytest.mark.parametrize("process", [Schedule.linear(), Schedule.cosine(), VP(), SubVP(), VE(), EDM()], ids=repr)
@pytest.mark.parametrize("name", DETERMINISTIC)
def test_every_process(name, process):
    """The exact flow from wherever the run starts to the noise level where it ends, whatever the schedule."""
    mean, std = np.array([0.4, -0.2]), 0.7
    denoiser = GaussianMixture([mean], stds=std).denoiser(process)
    high, low = 5.0, 0.05
    options = {} if name == "probability_flow" else {"steps": 1}
    x = np.random.default_rng(0).normal(size=(5, 2))
    run = samplers.find(name).function(denoiser, x, sigmas=np.exp(np.linspace(math.log(high), math.log(low), 200)), **options)
    *_, last = run
    first, end = (samplers.Trajectory(denoiser, x, 1, sigmas=[high, low]).points[i] for i in (0, 1))
    ratio = math.sqrt((std**2 + end.s**2) / (std**2 + first.s**2))
    exact = end.alpha * (mean + (x / first.alpha - mean) * ratio)
    tolerance = {1: 3e-2, 2: 1e-3}.get(samplers.find(name).order, 1e-4)
    np.testing.assert_allclose(last.x, exact, atol=tolerance)


def test_weights_integrate_cubics():
    """With four uneven nodes, every polynomial up to the third power, to the last digit."""
    nodes, a, b = (2.0, 3.1, 3.5, 6.0), 2.0, 1.2
    for power in range(4):
        exact = (b ** (power + 1) - a ** (power + 1)) / (power + 1)
        assert sum(w * n**power for w, n in zip(weights(nodes, a, b), nodes, strict=True)) == pytest.approx(exact, rel=1e-12)
    h = 0.1  # on even nodes they are the classical weights
    np.testing.assert_allclose(np.array(weights((0, h, 2 * h, 3 * h), 0, -h)) / -h, np.array([55, -59, 37, -9]) / 24)


def test_variance_of_deterministic_and_broken_chains():
    """DDIM on N(0, 1) multiplies by the same numbers whatever the noise; the subset hack leaves noise in."""
    schedule = Schedule.linear(100, 1e-3, 0.2)
    assert generated_variance(samplers.ddim, schedule, steps=100) < 1.0
    full = generated_variance(samplers.ddpm, schedule)
    assert generated_variance(samplers.ddim, schedule, steps=100, eta=1.0) == pytest.approx(full, rel=1e-12)
    assert generated_variance(samplers.ddpm_respaced, schedule, steps=100) == pytest.approx(full, rel=1e-12)
    assert generated_variance(samplers.ddpm_subset, schedule, steps=100) == pytest.approx(full, rel=1e-12)


# ---- samplers that are not on the list -----------------------------------------------------------------------------------


def euler_by_hand(denoiser, x, sigmas):
    for sigma, sigma_next in itertools.pairwise(sigmas):
        x0, _ = denoiser(x, sigma)
        x = x + (sigma_next - sigma) * (x - x0) / sigma
    return x


def heun_by_hand(denoiser, x, sigmas):
    for sigma, sigma_next in itertools.pairwise(sigmas):
        d = (x - denoiser(x, sigma)[0]) / sigma
        x_next = x + (sigma_next - sigma) * d
        d_prime = (x_next - denoiser(x_next, sigma_next)[0]) / sigma_next
        x = x + (sigma_next - sigma) * (d + d_prime) / 2
        yield x


def ddim_on_a_trajectory(denoiser, x, steps=50, **options):
    trajectory = samplers.Trajectory(denoiser, x, steps, **options)
    x = trajectory.x
    for i, now, after in trajectory:
        x0, eps = trajectory.denoise(x, now)
        x = after.alpha * x0 + after.sigma * eps
        yield samplers.Step(i, now.t, x, x0)


def heun_with_the_second_slope_at_the_first_sigma(denoiser, x, sigmas):
    for sigma, sigma_next in itertools.pairwise(sigmas):
        d = (x - denoiser(x, sigma)[0]) / sigma
        x_next = x + (sigma_next - sigma) * d
        d_prime = (x_next - denoiser(x_next, sigma_next)[0]) / sigma
        x = x + (sigma_next - sigma) * (d + d_prime) / 2
    return x


def euler_with_half_the_score(denoiser, x, sigmas):
    for sigma, sigma_next in itertools.pairwise(sigmas):
        x = x + (sigma_next - sigma) * (x - denoiser(x, sigma)[0]) / (2 * sigma)
    return x


@pytest.mark.parametrize("function, order", [
    (euler_by_hand, 1), (heun_by_hand, 2), (ddim_on_a_trajectory, 1),
    (heun_with_the_second_slope_at_the_first_sigma, 1), (euler_with_half_the_score, 0),
])  # fmt: skip
def test_one_call_measures_the_order_of_any_function(function, order):
    """A wrong sampler shows: it loses an order, or nears something that is not the answer."""
    measured = convergence.measure(function)
    assert (measured.name, measured.order) == (function.__name__, None)
    assert measured.slope == pytest.approx(order, abs=0.05)


def test_a_hand_written_sampler_makes_the_same_errors_as_the_listed_one():
    ours, theirs = convergence.measure([heun_by_hand, "heun"], steps=(16, 64))
    np.testing.assert_allclose(ours.errors, theirs.errors, rtol=1e-9)
    with pytest.raises(ValueError, match="did you mean heun"):
        convergence.measure("huen")
