import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minidiff.diffusion import VE, VP, Denoiser, Flow, GaussianMixture, Schedule
from minidiff.diffusion.denoiser import PREDICTS, eps_slopes, from_x0_eps, to_x0_eps

angles = st.floats(0.01, np.pi / 2 - 0.01)
numbers = st.floats(-5, 5)


@given(numbers, numbers, angles)
def test_every_conversion_there_and_back(x0, eps, angle):
    alpha, sigma = np.cos(angle), np.sin(angle)
    xt = alpha * x0 + sigma * eps
    for predicts in PREDICTS:
        output = from_x0_eps(x0, eps, alpha, sigma, predicts)
        again = to_x0_eps(output, xt, alpha, sigma, predicts)
        np.testing.assert_allclose(again, (x0, eps), atol=1e-9)
        np.testing.assert_allclose(from_x0_eps(*again, alpha, sigma, predicts), output, rtol=1e-9, atol=1e-9)


@given(numbers, numbers, st.floats(0.1, 3), st.floats(0.1, 50))
def test_conversions_hold_off_the_circle_too(x0, eps, alpha, sigma):
    """In a flow or a variance-exploding process alpha^2 + sigma^2 is not 1."""
    xt = alpha * x0 + sigma * eps
    for predicts in PREDICTS:
        np.testing.assert_allclose(
            to_x0_eps(from_x0_eps(x0, eps, alpha, sigma, predicts), xt, alpha, sigma, predicts), (x0, eps), atol=1e-8
        )


def test_v_against_diffusers(diffusers_numbers, picture, sums, outside):
    s, t = Schedule.linear(1000), np.array([0, 10, 500, 999])
    alpha, sigma = (c(t).reshape(4, 1, 1, 1) for c in (s.alpha, s.sigma))
    outside(sums(from_x0_eps(*picture, alpha, sigma, "v")), diffusers_numbers["velocity"], atol=2e-4)


def test_v_is_the_velocity_on_the_circle():
    angle, h, x0, eps = 0.7, 1e-6, 0.3, -1.1
    path = lambda a: np.cos(a) * x0 + np.sin(a) * eps  # noqa: E731
    velocity = (path(angle + h) - path(angle - h)) / (2 * h)
    assert from_x0_eps(x0, eps, np.cos(angle), np.sin(angle), "v") == pytest.approx(velocity, abs=1e-9)


@pytest.mark.parametrize("predicts", PREDICTS)
@pytest.mark.parametrize("t", [500, 500.5, np.array([3, 500, 999]), np.array([3.5, 500.0, 998.5])])
def test_denoiser_turns_output_into_x0_and_eps(predicts, t):
    s, rng = Schedule.linear(1000), np.random.default_rng(0)
    x0, eps = rng.standard_normal((2, 3, 4, 4, 1))
    asked = []

    def model(x, time, cond):
        asked.append((time, cond))
        alpha, sigma = (np.reshape(c(t), (-1, 1, 1, 1)) for c in (s.alpha, s.sigma))
        return from_x0_eps(x0, eps, alpha, sigma, predicts)

    got_x0, got_eps = Denoiser(model, s, predicts)(s.add_noise(x0, eps, t), t, "cond")
    np.testing.assert_allclose(got_x0, x0, atol=1e-11)
    np.testing.assert_allclose(got_eps, eps, atol=1e-11)
    assert asked == [(t, "cond")] and asked[0][0] is t


def test_float32_stays_float32():
    s, x = Schedule.linear(1000), np.ones((2, 4), np.float32)
    for predicts in PREDICTS:
        for t in (5, 5.5, np.array([5, 900]), np.array([5.5, 900.0])):
            for array in Denoiser(lambda x, t, c: x, s, predicts)(x, t):
                assert array.dtype == np.float32


@pytest.mark.parametrize("predicts", ["eps", "score"])
def test_pure_noise_has_no_x0_for_a_model_of_eps(predicts):
    s = Schedule.linear(1000).rescale_zero_terminal_snr()
    with pytest.raises(ValueError, match=r"alpha.t. is 0"):
        Denoiser(lambda x, t, c: x, s, predicts)(np.ones((1, 2)), 999)


def test_pure_noise_is_fine_for_v_and_x0():
    s, x = Schedule.linear(1000).rescale_zero_terminal_snr(), np.array([[0.5, -2.0]])
    for predicts, output in (
        ("v", -np.array([[0.1, 0.2]])),
        ("velocity", np.array([[0.4, -2.2]])),
        ("x0", np.array([[0.1, 0.2]])),
    ):
        x0, eps = Denoiser(lambda x, t, c, o=output: o, s, predicts)(x, 999)
        np.testing.assert_allclose(x0, [[0.1, 0.2]], rtol=1e-15 if predicts != "velocity" else 1e-14)
        np.testing.assert_array_equal(eps, x)


def test_learned_variance_splits_the_channels():
    s, x = Schedule.linear(1000), np.ones((2, 4, 4, 3))
    output = np.concatenate([0.5 * x, np.stack([-x[..., 0], 0 * x[..., 0], x[..., 0]], -1)], -1)
    denoiser = Denoiser(lambda x, t, c: output, s, learned_variance=True)
    _x0, eps, share = denoiser.predict(x, 10)
    np.testing.assert_array_equal(eps, 0.5 * x)
    np.testing.assert_array_equal(share[0, 0, 0], [0, 0.5, 1])
    assert denoiser(x, 10)[0].shape == x.shape
    assert Denoiser(lambda x, t, c: x, s).predict(x, 10)[2] is None
    with pytest.raises(ValueError, match=r"learned_variance: the model put out \(2, 4, 4, 3\), expected \(2, 4, 4, 6\)"):
        Denoiser(lambda x, t, c: x, s, learned_variance=True)(x, 10)


def test_a_layer_is_called_by_predict_and_its_null_condition_is_used(tiny_net):
    s, net = Schedule.linear(10), tiny_net(2, 2)
    denoiser, x = Denoiser(net, s), np.ones((3, 2))
    np.testing.assert_array_equal(denoiser(x, 4, np.array([0, 1, 2]))[1], net.predict(x, 4, np.array([0, 1, 2])))
    np.testing.assert_array_equal(denoiser.null_cond(np.array([0, 1])), [3, 3])
    assert Denoiser(lambda x, t, c: x, s).null_cond(1) is None


@pytest.mark.parametrize("predicts", PREDICTS)
@pytest.mark.parametrize("learned", [False, True])
def test_eps_back_is_the_derivative_of_eps(tiny_net, predicts, learned):
    net, rng, h = tiny_net(3, 6 if learned else 3), np.random.default_rng(1), 1e-6
    x, d, deps = rng.standard_normal((3, 2, 4, 4, 3))
    for s, t in ((Schedule.linear(1000), 700), (Schedule.linear(1000), np.array([20, 700])), (Flow(), 0.4)):
        denoiser = Denoiser(net, s, predicts, learned_variance=learned)
        eps, back = denoiser.eps_back(x, t)
        np.testing.assert_allclose(eps, denoiser(x, t)[1], rtol=1e-12)
        numerical = (deps * (denoiser(x + h * d, t)[1] - denoiser(x - h * d, t)[1])).sum() / (2 * h)
        assert (back(deps) * d).sum() == pytest.approx(numerical, rel=1e-7)


def test_eps_back_needs_a_layer():
    with pytest.raises(TypeError, match="a Layer, and not a plain function"):
        Denoiser(lambda x, t, c: x, Schedule.linear(10)).eps_back(np.ones((1, 2)), 3)


@pytest.mark.parametrize("process", [Schedule.linear(100), VP(), VE(), Flow()])
def test_the_perfect_denoiser_is_the_same_for_every_prediction_type(process):
    mixture = GaussianMixture([[-1.0, 0.0], [1.0, 0.5]], stds=[0.3, 0.6])
    t, x = 40 if hasattr(process, "T") else 0.5, np.random.default_rng(2).standard_normal((5, 2))
    x0, eps = mixture.denoiser(process)(x, t)
    np.testing.assert_allclose(x0, mixture.x0_mean(x, process.alpha(t), process.sigma(t)), rtol=1e-10, atol=1e-12)
    for predicts in PREDICTS:
        model = lambda x, t, c, p=predicts: from_x0_eps(x0, eps, process.alpha(t), process.sigma(t), p)  # noqa: E731
        for ours, truth in zip(Denoiser(model, process, predicts)(x, t), (x0, eps), strict=True):
            np.testing.assert_allclose(ours, truth, rtol=1e-9, atol=1e-10)


@given(numbers, numbers, angles)
def test_slopes_of_eps(output, xt, angle):
    alpha, sigma, h = np.cos(angle), np.sin(angle), 1e-3
    for predicts in PREDICTS:
        by_output, by_x = eps_slopes(alpha, sigma, predicts)
        eps = lambda o, x, p=predicts: to_x0_eps(o, x, alpha, sigma, p)[1]  # noqa: E731
        assert by_output == pytest.approx((eps(output + h, xt) - eps(output - h, xt)) / (2 * h), rel=1e-6, abs=1e-6)
        assert by_x == pytest.approx((eps(output, xt + h) - eps(output, xt - h)) / (2 * h), rel=1e-6, abs=1e-6)


def test_unknown_names_list_the_nearest():
    with pytest.raises(ValueError, match="predicts: got 'epsilon', expected one of eps, x0, v, velocity, score"):
        Denoiser(lambda x, t, c: x, Schedule.linear(10), "epsilon")
    with pytest.raises(ValueError, match="did you mean score"):
        from_x0_eps(1.0, 1.0, 0.5, 0.5, "scor")
    with pytest.raises(ValueError, match="predicts"):
        to_x0_eps(1.0, 1.0, 0.5, 0.5, "noise")
