import math

import numpy as np
import pytest

from minidiff.diffusion import EDM, VP, EDMDenoiser, EDMLoss, GaussianMixture, Schedule
from minidiff.diffusion.edm import c_in, c_noise, c_out, c_skip

X0 = np.random.default_rng(0).standard_normal((6, 3, 3, 2)) * 0.5
PLACES = [(EDM(), 3.0), (VP(), 0.5), (Schedule.linear(100), 50), (VP(), np.array([0.1, 0.5, 0.9]))]
OPTIONS = [dict(), dict(schedule=VP(), t_sampler="uniform"), dict(t_sampler="stratified", sigma_data=1.0)]


def test_the_four_coefficients_by_hand():
    sigma, data = 2.0, 0.5
    assert c_skip(sigma) == pytest.approx(0.25 / 4.25) and c_out(sigma) == pytest.approx(1.0 / math.sqrt(4.25))
    assert c_in(sigma) == pytest.approx(1 / math.sqrt(4.25)) and c_noise(sigma) == pytest.approx(math.log(2) / 4)
    assert all(type(c) is float for c in (c_skip(sigma, data), c_out(sigma, data), c_in(sigma, data), c_noise(sigma)))


def test_what_they_are_for():
    """Karras et al. 2022, appendix B.6: unit variance of input and target, and the least gain on the network's error."""
    for sigma in (0.01, 0.5, 10.0):
        data = 0.5
        assert c_in(sigma) ** 2 * (data**2 + sigma**2) == pytest.approx(1)
        target_variance = ((1 - c_skip(sigma)) ** 2 * data**2 + c_skip(sigma) ** 2 * sigma**2) / c_out(sigma) ** 2
        assert target_variance == pytest.approx(1)
        h = 1e-5
        gain = lambda skip, s=sigma: (1 - skip) ** 2 * 0.25 + skip**2 * s**2  # noqa: E731
        assert gain(c_skip(sigma) + h) > gain(c_skip(sigma)) < gain(c_skip(sigma) - h)


def test_a_network_that_returns_zero_is_the_best_linear_denoiser():
    """F = 0 leaves c_skip x, which is the perfect denoiser of N(0, sigma_data^2)."""
    denoiser, truth = EDMDenoiser(lambda x, t, c: 0 * x), GaussianMixture([[0.0, 0.0]], stds=0.5).denoiser(EDM())
    x = np.random.default_rng(1).standard_normal((4, 2))
    for t in (0.1, 3.0, np.array([0.1, 1.0, 5.0, 80.0])):
        for ours, theirs in zip(denoiser(x, t), truth(x, t), strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(
    "process, t", [(EDM(), 3.0), (VP(), 0.5), (Schedule.linear(100), 50), (VP(), np.array([0.1, 0.5, 0.9]))]
)
def test_x0_and_eps_fit_x_and_the_network_sees_scaled_things(process, t):
    seen = []
    denoiser = EDMDenoiser(lambda x, c, cond: seen.append((x, c, cond)) or np.tanh(x), process, sigma_data=0.7)
    x = np.random.default_rng(1).standard_normal((3, 2))
    x0, eps = denoiser(x, t, "cond")
    alpha, sigma = (np.reshape(c(t), (-1, 1)) for c in (process.alpha, process.sigma))
    np.testing.assert_allclose(alpha * x0 + sigma * eps, x, rtol=1e-10, atol=1e-12)
    level = sigma / alpha
    np.testing.assert_allclose(seen[0][0], x / alpha / np.sqrt(level**2 + 0.49), rtol=1e-12)
    np.testing.assert_allclose(np.reshape(seen[0][1], (-1, 1)), np.log(level) / 4, rtol=1e-12)
    assert seen[0][2] == "cond" and denoiser.predict(x, t)[2] is None


def test_against_diffusers_edm_scheduler(outside):
    """diffusers 0.42.1, EDMEulerScheduler().precondition_outputs(x = 1.5, F = -0.7, sigma): sigma 0.1, 1, 20; and of inputs."""
    for sigma, out, scaled in ((0.1, 1.37366705, 2.94174203), (1.0, -0.01304952, 1.34164079), (20.0, -0.34895376, 0.07497657)):
        x = np.array([[1.5]])
        denoiser = EDMDenoiser(lambda x, c, cond: 0 * x - 0.7)
        outside(denoiser(x, sigma)[0][0, 0], out, atol=1e-6)
        outside(c_in(sigma) * 1.5, scaled, atol=1e-6)


def test_eps_back_is_the_derivative_of_eps(tiny_net):
    net, h = tiny_net(2, 2), 1e-6
    x, d, deps = np.random.default_rng(1).standard_normal((3, 4, 2))
    for process, t in ((EDM(), 3.0), (VP(), np.array([0.1, 0.5, 0.9, 1.0]))):
        denoiser = EDMDenoiser(net, process)
        eps, back = denoiser.eps_back(x, t)
        np.testing.assert_allclose(eps, denoiser(x, t)[1], rtol=1e-12)
        numerical = (deps * (denoiser(x + h * d, t)[1] - denoiser(x - h * d, t)[1])).sum() / (2 * h)
        assert (back(deps) * d).sum() == pytest.approx(numerical, rel=1e-7)


@pytest.mark.parametrize(
    "options", [dict(), dict(schedule=VP(), t_sampler="uniform"), dict(t_sampler="stratified", sigma_data=1.0)]
)
def test_gradient_of_the_loss(check_objective, tiny_net, options):
    check_objective(EDMLoss(**options), tiny_net(2, 2), X0, np.array([0, 1, 2, 0, 1, 2]))


def test_the_loss_by_equation_8(tiny_net):
    """lambda |D - x0|^2 with D from the denoiser itself, and lambda as the paper writes it."""
    net, rng = tiny_net(2, 2), np.random.default_rng(4)
    objective = EDMLoss()
    loss, _ = objective(net, X0, np.random.default_rng(4))
    sigma = np.exp(-1.2 + 1.2 * rng.standard_normal(6))
    x = X0 + sigma.reshape(6, 1, 1, 1) * rng.standard_normal(X0.shape)
    weight = ((sigma**2 + 0.25) / (sigma * 0.5) ** 2).reshape(6, 1, 1, 1)
    denoised = objective.denoiser(net)(x, sigma)[0]
    assert loss == pytest.approx((weight * (denoised - X0) ** 2).mean(), rel=1e-10)


def test_the_loss_is_one_for_a_network_that_returns_zero():
    """Data N(0, sigma_data^2): whatever the level, the target has unit variance. That is what lambda is for."""
    x0 = 0.5 * np.random.default_rng(0).standard_normal((100_000, 1))
    for sampler in (None, lambda rng, B: (np.full(B, 0.01), None), lambda rng, B: (np.full(B, 50.0), None)):
        objective = EDMLoss()
        if sampler is not None:
            objective = EDMLoss(t_sampler=sampler)
        loss, _ = objective(lambda x, t, c: (0 * x, None), x0, np.random.default_rng(1))
        assert loss == pytest.approx(1, abs=4 * 2**0.5 / 316)


def test_bad_input():
    with pytest.raises(ValueError, match="sigma_data: got 0"):
        EDMDenoiser(lambda x, t, c: x, sigma_data=0)
    with pytest.raises(TypeError, match="a Layer"):
        EDMDenoiser(lambda x, t, c: x).eps_back(X0, 1.0)
