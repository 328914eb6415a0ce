"""Flow matching: the straight path, paths of any alpha and sigma, the velocity, the times of training and of sampling.

Gaussian data N(m, s^2) have every marginal in closed form: x_t ~ N(alpha m, alpha^2 s^2 + sigma^2).
"""

import itertools
import math
import sys

import numpy as np
import pytest

from minidiff.diffusion import (
    VP,
    Denoiser,
    Flow,
    GaussianMixture,
    Interpolant,
    ReflowLoss,
    Schedule,
    SimpleLoss,
    ode_log_likelihood,
    optimal_pairs,
    pairs,
    straightness,
)
from minidiff.diffusion.denoiser import from_x0_eps, to_x0_eps
from minidiff.diffusion.timesteps import LogitNormal, Mode, Uniform
from minidiff.diffusion.weighting import weight
from minidiff.rng import Rng
from minidiff.samplers import flow_euler

TIMES = np.linspace(0.01, 0.99, 25)


# ---- processes ------------------------------------------------------------------------------------------------------------


def test_the_straight_path_by_the_numbers():
    flow = Flow()
    assert (flow.alpha(0.25), flow.sigma(0.25), flow.alpha(1.0), flow.prior_std) == (0.75, 0.25, 0.0, 1.0)
    assert flow.log_snr(0.5) == 0 and flow.log_snr(0.25) == pytest.approx(2 * math.log(3)) and flow.log_snr(1.0) == -math.inf
    assert flow.f(0.75) == -4 and flow.g(0.5) ** 2 == pytest.approx(2) and flow.g(1.0) == math.inf
    assert repr(Flow(3.0)) == "Flow(shift=3)"


def test_the_shift_of_stable_diffusion_3():
    """Esser et al. 2024, equation 23: t_m = sqrt(m/n) t_n / (1 + (sqrt(m/n) - 1) t_n), here for sqrt(m/n) = 3."""
    u = np.array([0.0, 0.25, 0.5, 1.0])
    np.testing.assert_allclose(Flow(3.0).shifted(u), [0, 0.5, 0.75, 1])
    np.testing.assert_array_equal(Flow().shifted(u), u)
    np.testing.assert_allclose(Flow(0.5).shifted(Flow(2.0).shifted(u)), u, rtol=1e-15)  # shifts multiply


@pytest.mark.parametrize("shift", [0.0, -1.0, math.inf, math.nan])
def test_a_shift_is_positive(shift):
    with pytest.raises(ValueError, match="shift: got"):
        Flow(shift)


def test_interpolants_are_the_processes_that_their_functions_make():
    flow, vp = Interpolant(lambda t: 1 - t, lambda t: t), VP()
    by_functions = Interpolant(
        lambda t: np.exp(-(t * 0.1 + t * t * 9.95) / 2), lambda t: np.sqrt(-np.expm1(-(t * 0.1 + t * t * 9.95)))
    )
    for made, named in ((flow, Flow()), (by_functions, vp)):
        for what in ("alpha", "sigma", "log_snr", "f", "g"):
            np.testing.assert_allclose(getattr(made, what)(TIMES), getattr(named, what)(TIMES), rtol=1e-12, err_msg=what)
        np.testing.assert_allclose(made.t_of_log_snr(named.log_snr(TIMES)), TIMES, rtol=1e-12)
        assert isinstance(made.alpha(0.5), float) and isinstance(made.t_of_log_snr(0.3), float)
    assert "Interpolant(t_min=1e-05, t_max=1)" == repr(flow)


@pytest.mark.parametrize("alpha, sigma, message", [
    (lambda t: t, lambda t: 1 - t, "alpha, sigma: got a ratio alpha / sigma that does not fall"),
    (lambda t: 0.5 - t, lambda t: t, "alpha: got alpha"),
    (lambda t: 1 - t, lambda t: np.log(t), "sigma: got sigma"),
    (lambda t: np.ones(3), lambda t: t, "alpha: got alpha"),
])  # fmt: skip
def test_functions_that_are_no_path(alpha, sigma, message):
    with pytest.raises(ValueError, match=message):
        Interpolant(alpha, sigma)
    with pytest.raises(ValueError, match="t_min, t_max: got 1, 0"):
        Interpolant(lambda t: 1 - t, lambda t: t, 1, 0)


ROUND = Interpolant(lambda t: np.cos(1.5 * t), lambda t: np.sin(1.5 * t))


@pytest.mark.parametrize("other", [VP(), Schedule.cosine(1000), ROUND], ids=repr)
def test_marginals_are_the_diffusions_after_a_change_of_time(other):
    """x_t / (alpha + sigma) of any process is x_tau of the flow, tau = sigma / (alpha + sigma): mean, standard deviation and
    score agree to 1e-10, and both are the closed form."""
    m, s, flow = 0.7, 0.4, Flow()
    data = GaussianMixture([[m]], stds=s)
    for t in (20.5, 300, 800) if hasattr(other, "T") else (0.05, 0.4, 0.8):
        alpha, sigma = other.alpha(t), other.sigma(t)
        c, tau = alpha + sigma, flow.t_of_log_snr(other.log_snr(t))
        a, b = flow.alpha(tau), flow.sigma(tau)
        assert tau == pytest.approx(sigma / c, rel=1e-10)
        assert (a * c, b * c) == (pytest.approx(alpha, rel=1e-10), pytest.approx(sigma, rel=1e-10))
        assert math.hypot(a * s, b) * c == pytest.approx(math.hypot(alpha * s, sigma), rel=1e-10)
        y = np.linspace(-2, 2, 9)[:, None]
        closed = -(y - a * m) / (a * a * s * s + b * b)
        np.testing.assert_allclose(data.score(y, a, b), closed, rtol=1e-10)
        np.testing.assert_allclose(c * data.score(c * y, alpha, sigma), closed, rtol=1e-10)
        for ours, theirs in zip(data.denoiser(flow)(y, tau), data.denoiser(other)(c * y, t), strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-10)


# ---- the velocity ---------------------------------------------------------------------------------------------------------


def test_the_velocity_is_the_slope_of_the_path():
    x0, eps = np.random.default_rng(0).standard_normal((2, 5))
    flow, t, h = Flow(), 0.3, 0.01
    slope = (flow.add_noise(x0, eps, t + h) - flow.add_noise(x0, eps, t - h)) / (2 * h)
    np.testing.assert_allclose(from_x0_eps(x0, eps, 0.7, 0.3, "velocity"), slope, rtol=1e-12)


def test_at_both_ends_the_velocity_determines_image_and_noise():
    x0, eps = np.random.default_rng(0).standard_normal((2, 5))
    for alpha, sigma in ((1.0, 0.0), (0.0, 1.0)):
        xt = alpha * x0 + sigma * eps
        for ours, truth in zip(to_x0_eps(eps - x0, xt, alpha, sigma, "velocity"), (x0, eps), strict=True):
            np.testing.assert_allclose(ours, truth, rtol=1e-12, atol=1e-15)


class Constant:
    """A model that outputs the same array."""

    def __init__(self, output):
        self.output = output

    def __call__(self, x, t, cond=None):
        return self.output + 0 * x, lambda dy: None


@pytest.mark.parametrize("process", [Flow(), VP()], ids=repr)
def test_flow_matching_is_a_weighted_loss_of_eps(process):
    """|u' - u|^2 = ((alpha + sigma) / alpha)^2 |eps' - eps|^2, on the straight path 1 / (1 - t)^2, for one noise."""
    rng, t = np.random.default_rng(0), np.array([0.1, 0.5, 0.9])
    x0, output = rng.standard_normal((2, 3, 4))
    only = lambda rng, B: (t, None)  # noqa: E731
    loss, _ = SimpleLoss(process, "velocity", cond_dropout=0, t_sampler=only)(Constant(output), x0, Rng(5))
    eps = Rng(5).standard_normal(x0.shape, dtype=x0.dtype)
    alpha, sigma = process.alpha(t)[:, None], process.sigma(t)[:, None]
    predicted = (alpha * x0 + sigma * eps + alpha * output) / (alpha + sigma)  # eps, from the velocity
    factor = ((alpha + sigma) / alpha) ** 2
    np.testing.assert_allclose(loss, (factor * (predicted - eps) ** 2).mean(), rtol=1e-12)
    if isinstance(process, Flow):
        np.testing.assert_allclose(factor[:, 0], 1 / (1 - t) ** 2, rtol=1e-12)
    np.testing.assert_allclose(weight(process, t, "velocity", "snr"), 1 / factor[:, 0], rtol=1e-12)


# ---- times ----------------------------------------------------------------------------------------------------------------


def test_logit_normal_times():
    """log(t / (1 - t)) is normal, with this mean and standard deviation: to four standard errors of 20,000 draws."""
    t, weights = LogitNormal(Flow(), mean=0.5, std=0.8)(Rng(0), 20_000)
    z = np.log(t / (1 - t))
    assert weights is None and t.dtype == np.float64
    assert abs(z.mean() - 0.5) < 4 * 0.8 / math.sqrt(20_000)
    assert abs(z.std() - 0.8) < 4 * 0.8 / math.sqrt(40_000)


def test_mode_times():
    """Esser et al. 2024, equation 20: f(u) = 1 - u - s (cos^2(pi u / 2) - 1 + u), whose density at the middle is
    1 / |f'(1/2)| = 1 / (1 - s (pi / 2 - 1)): above 1 for s > 0, below it for s < 0."""
    u = (np.arange(100_000) + 0.5) / 100_000
    for s in (1.29, -0.5):
        t, _ = Mode(Flow(), scale=s)(Rng(0), 200_000)
        share = (abs(1 - u - s * (np.cos(np.pi * u / 2) ** 2 - 1 + u) - 0.5) < 0.02).mean()
        assert share / 0.04 == pytest.approx(1 / (1 - s * (math.pi / 2 - 1)), rel=0.1)  # the curve bends within 0.02
        assert abs((abs(t - 0.5) < 0.02).mean() - share) < 4 * math.sqrt(share / 200_000)
        assert t.min() >= Flow.t_min and t.max() <= 1
    with pytest.raises(ValueError, match=r"scale: got 3, expected -1 to 1\.75"):
        Mode(Flow(), scale=3)


def test_times_are_shifted_by_the_shift_of_the_flow():
    for kind in (Uniform, LogitNormal, Mode):
        plain, shifted = (kind(Flow(shift))(Rng(3), 50)[0] for shift in (1.0, 3.0))
        np.testing.assert_allclose(shifted, 3 * plain / (1 + 2 * plain), rtol=1e-12)


def test_times_by_name_and_their_errors():
    losses = [SimpleLoss(Flow(), "velocity", t_sampler=name) for name in ("uniform", "stratified", "logit_normal", "mode")]
    assert [type(loss.t_sampler).__name__ for loss in losses] == ["Uniform", "Stratified", "LogitNormal", "Mode"]
    with pytest.raises(ValueError, match=r"t_sampler: got 'logit_norma', .*did you mean logit_normal"):
        SimpleLoss(Flow(), "velocity", t_sampler="logit_norma")
    with pytest.raises(ValueError, match="t_sampler: logit_normal draws t between 0 and 1, but this schedule's run to 999"):
        SimpleLoss(Schedule.linear(1000), t_sampler="logit_normal")


def test_the_likelihood_of_a_gaussian():
    """The flow ends in pure noise, where log(sigma / alpha) is infinite; `t_max` stops before it. The density of N(m, s^2)."""
    x = np.array([[0.2], [0.9], [-0.5]])
    with pytest.raises(ValueError, match="t_max"):
        ode_log_likelihood(GaussianMixture([[0.3]], stds=0.5).denoiser(Flow()), x)
    found = ode_log_likelihood(GaussianMixture([[0.3]], stds=0.5).denoiser(Flow()), x, t_max=0.9999, rtol=1e-8, atol=1e-8)
    truth = -0.5 * ((x[:, 0] - 0.3) / 0.5) ** 2 - math.log(0.5 * math.sqrt(2 * math.pi))
    np.testing.assert_allclose(found.log_p, truth, atol=3e-4)  # alpha(0.9999) m, and a t_min of 1e-5


# ---- pairing and reflow ---------------------------------------------------------------------------------------------------


def test_the_best_pairing_is_the_best_of_all_permutations():
    pytest.importorskip("scipy")
    rng = np.random.default_rng(0)
    for _ in range(5):
        x0, eps = rng.standard_normal((2, 5, 3, 2))
        cost = {order: ((x0 - eps[list(order)]) ** 2).sum() for order in itertools.permutations(range(5))}
        assert tuple(optimal_pairs(x0, eps)) == min(cost, key=cost.get)


def test_a_loss_pairs_each_sample_with_the_nearest_noise():
    """On a line the best pairs are in the same order, so sorted samples get sorted noise."""
    pytest.importorskip("scipy")
    x0, asked = np.linspace(-2, 2, 6)[:, None], []

    def model(x, t, cond):
        asked.append(x)
        return 0 * x, lambda dy: None

    for pairing in ("random", "optimal"):
        only = lambda rng, B: (np.full(B, 0.999999), None)  # noqa: E731 - x_t is nearly the noise
        SimpleLoss(Flow(), "velocity", cond_dropout=0, t_sampler=only, pairing=pairing)(model, x0, Rng(0))
    np.testing.assert_allclose(asked[1], np.sort(asked[0], axis=0), atol=1e-5)
    assert not np.array_equal(asked[0], asked[1])
    with pytest.raises(ValueError, match=r"pairing: got 'optmal', .*did you mean optimal"):
        SimpleLoss(Flow(), pairing="optmal")


def test_without_scipy_the_best_pairing_names_the_package_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy.optimize", None)
    with pytest.raises(ImportError, match="pairing: 'optimal' needs scipy: pip install scipy"):
        SimpleLoss(Flow(), "velocity", pairing="optimal")


M, S = 0.3, 0.5


def straight(x, t, cond=None):
    """The velocity of the straight paths from eps to m + s eps, along which x_t = (1 - t) m + ((1 - t) s + t) eps."""
    eps = (x - (1 - t) * M) / ((1 - t) * S + t)
    return (1 - S) * eps - M


def test_reflow_learns_the_straight_paths_of_a_flows_pairs():
    """The flow of N(m, s^2) makes m + s eps of eps. On these pairs the straight velocity has no error, and Euler's method ends
    at the sample in one step. The flow's own paths bend, and on random pairs no velocity is without an error."""
    noise = np.random.default_rng(0).standard_normal((64, 1))
    data = pairs(M + S * noise, noise)
    as_model = lambda x, t, cond: (straight(x, t.reshape(-1, 1)), lambda dy: None)  # noqa: E731
    loss = ReflowLoss(Flow(), "velocity", cond_dropout=0)
    assert loss(as_model, data, Rng(0))[0] < 1e-20
    assert SimpleLoss(Flow(), "velocity", cond_dropout=0)(as_model, data[:, 0], Rng(0))[0] > 0.1
    *_, step = flow_euler(Denoiser(straight, Flow(), "velocity"), noise, steps=1)
    np.testing.assert_allclose(step.x, M + S * noise, rtol=1e-12)


def test_straightness_of_straight_and_of_bent_paths():
    """0 for straight paths. For the flow of N(m, s^2), whose velocity at x is own(t) (x - (1 - t) m) - m, the closed form."""
    noise = np.random.default_rng(0).standard_normal((2_000, 1))
    samples = M + S * noise
    assert straightness(Denoiser(straight, Flow(), "velocity"), samples, noise) < 1e-20
    bent = GaussianMixture([[M]], stds=S).denoiser(Flow())
    t = (np.arange(20) + 0.5) / 20
    own = (t - (1 - t) * S**2) / ((1 - t) ** 2 * S**2 + t**2)
    expected = ((1 - S - own * ((1 - t) * S + t)) ** 2).mean() * (noise**2).mean()
    assert straightness(bent, samples, noise) == pytest.approx(expected, rel=1e-10) and expected > 0.01


def test_data_that_are_no_pairs():
    with pytest.raises(ValueError, match=r"x0: got shape \(4, 3\), expected \(B, 2, ...\)"):
        ReflowLoss(Flow(), "velocity", cond_dropout=0)(Constant(0.0), np.zeros((4, 3)), Rng(0))
    with pytest.raises(ValueError, match=r"noise: got shape \(3, 2\), expected that of the samples, \(4, 2\)"):
        pairs(np.zeros((4, 2)), np.zeros((3, 2)))
