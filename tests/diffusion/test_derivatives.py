"""Derivatives along x and along t by complex steps: thresholds, schedules, processes, guided denoisers."""

import numpy as np
import pytest

from minidiff import complex_step
from minidiff.complex_step import jvp
from minidiff.diffusion import (
    EDM,
    VE,
    VP,
    Denoiser,
    EDMDenoiser,
    Flow,
    GaussianMixture,
    Schedule,
    SubVP,
    cfg,
    clip_x0,
    dynamic_threshold,
)
from minidiff.models import MLP, UNet
from minidiff.rng import Rng

PROCESSES = [VP(), SubVP(), VE(), EDM(), Flow(3.0)]
TIMES = np.array([0.01, 0.3, 0.77])
MIXTURE = GaussianMixture([[-1.0, 0.4], [0.8, 0.9]], stds=[0.3, 0.5])
X = MIXTURE.sample(1, 4)


def randn(*shape, seed=0):
    return Rng(seed).standard_normal(shape, dtype=np.float64)


def along(f, x):
    """y and dy of an elementwise f."""
    return jvp(f, [x], [np.ones_like(x)])


def holder(threshold):
    """x0 -> the x0 that is held, around a denoiser that predicts x0 = x."""
    plain = Denoiser(lambda x, t, cond: x, Schedule.linear(10), "x0")
    return lambda x: threshold(plain)(x, 3)[0]


# ---- thresholds -----------------------------------------------------------------------------------------------------------


def test_clipping_has_slope_1_inside_and_0_at_the_bound_and_beyond():
    x = np.array([[-3.0, -1.0, -0.4, 0.0, 0.7, 1.0, 2.0]])
    y, dy = along(holder(lambda d: clip_x0(d, 1.0)), x)
    assert np.array_equal(y, x.clip(-1, 1)) and dy.tolist() == [[0, 0, 1, 1, 1, 0, 0]]


@pytest.mark.parametrize("n, q", [(7, 0.5), (6, 0.5), (5, 0.3), (4, 0.995), (3, 1.0), (1, 0.7)])
def test_the_slope_of_a_quantile_is_that_of_the_entries_around_it(n, q):
    x, v = randn(3, n), randn(3, n, seed=1)
    y, dy = jvp(lambda x: complex_step.quantile(x, q), [x], [v])
    assert np.array_equal(y, np.quantile(x, q, axis=1))
    order, place = x.argsort(axis=1), q * (n - 1)
    low, high = (np.take_along_axis(v, order, axis=1)[:, k] for k in (int(place), min(int(place) + 1, n - 1)))
    np.testing.assert_allclose(dy, low + (place - int(place)) * (high - low), rtol=1e-14)


def test_among_equal_entries_a_quantile_follows_the_first():
    x, v = np.array([[2.0, 1.0, 1.0, 3.0, 2.0]]), np.array([[1.0, 10.0, 100.0, 1000.0, 10000.0]])
    slopes = [jvp(lambda x, q=q: complex_step.quantile(x, q), [x], [v])[1].item() for q in (0, 0.25, 0.5, 0.75, 1)]
    assert slopes == pytest.approx([10.0, 100.0, 1.0, 10000.0, 1000.0], rel=1e-14)


def test_a_quantile_of_float32_stays_float32_in_its_derivative():
    x = randn(2, 9).astype(np.float32)
    dy = jvp(lambda x: complex_step.quantile(x, 0.8), [x], [np.ones_like(x)])[1]
    np.testing.assert_allclose(dy, 1, rtol=1e-6)


@pytest.mark.parametrize("most", [None, 1.5])
def test_dynamic_thresholding_has_the_slope_of_a_quotient(most):
    """One image is left alone, one is divided by its quantile, one by the most that is allowed (where there is one)."""
    x, v = np.array([[0.2, -0.5, 0.9, 0.1], [0.2, -1.3, 0.9, 1.2], [0.2, -5.0, 0.9, 4.0]]), randn(3, 4)
    hold = holder(lambda d: dynamic_threshold(d, 0.8, most))
    y, dy = jvp(hold, [x], [v])
    np.testing.assert_allclose(y, hold(x), rtol=1e-15)
    s = np.array([1.0, 0.6 * 1.2 + 0.4 * 1.3, most or 0.6 * 4.0 + 0.4 * 5.0])  # 0.8 (n - 1) = 2.4: third and fourth of |x0|
    ds = 0.6 * v[:, 3] - 0.4 * v[:, 1]
    ds *= [0, 1, most is None]
    quotient = v / s[:, None] - x * (ds / s**2)[:, None]
    outer = abs(x) >= s[:, None]  # held at s, and s / s = 1 stays
    np.testing.assert_allclose(dy, np.where(outer, 0.0, quotient), rtol=1e-13, atol=1e-15)
    assert outer.sum() == (2 if most is None else 3)


@pytest.mark.parametrize("rederive", [False, True])
def test_a_guided_and_thresholded_denoiser_has_the_slope_of_its_differences(rederive):
    x, v = X * 2, randn(*X.shape)
    guided = dynamic_threshold(cfg(MIXTURE.denoiser(VP()), 1, 2.0, rescale=0.7), 0.9, rederive=rederive)
    for part in (0, 1):
        y, dy = jvp(lambda x, part=part: guided(x, 0.4)[part], [x], [v])
        up, down = (guided(x + h * v, 0.4)[part] for h in (1e-6, -1e-6))
        np.testing.assert_allclose(y, guided(x, 0.4)[part], rtol=1e-14, atol=1e-15)
        np.testing.assert_allclose(dy, (up - down) / 2e-6, rtol=1e-6, atol=1e-8)


# ---- along t --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("process", PROCESSES, ids=repr)
def test_drift_and_diffusion_are_the_slopes_of_alpha_and_sigma(process):
    """f = d log alpha / dt and g^2 = d sigma^2 / dt - 2 f sigma^2, the definitions, by complex steps."""
    (alpha, dalpha), (sigma, dsigma) = along(process.alpha, TIMES), along(process.sigma, TIMES)
    np.testing.assert_allclose(process.f(TIMES), dalpha / alpha, rtol=1e-14)
    g2 = 2 * sigma * dsigma - 2 * process.f(TIMES) * sigma**2
    np.testing.assert_allclose(process.g(TIMES) ** 2, g2, rtol=1e-13)


@pytest.mark.parametrize("curve", [*PROCESSES, Schedule.linear(1000), Schedule.cosine(50)], ids=repr)
def test_the_slope_of_an_inverse_is_one_over_the_slope(curve):
    t = np.array([0.0, 3.5, 20.25, 49.0]) if isinstance(curve, Schedule) else TIMES
    level, slope = along(curve.log_snr, t)
    back, inverse = along(curve.t_of_log_snr, level)
    np.testing.assert_allclose(back, t, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(inverse * slope, 1, rtol=1e-12)


@pytest.mark.parametrize("what", ["alpha", "sigma", "log_snr", "f", "g"])
def test_a_number_has_the_slope_that_an_array_has(what):
    for curve in [*PROCESSES, Schedule.linear(1000)]:
        t = 0.77 if curve in PROCESSES else 700.25
        if hasattr(curve, what):
            f = getattr(curve, what)
            assert f(t + 1e-100j).imag / 1e-100 == pytest.approx(along(f, np.array([t]))[1].item(), rel=1e-14)
            assert isinstance(f(t), float)


def test_a_schedule_at_real_times_has_the_slope_of_its_stretch():
    schedule = Schedule.linear(1000)
    t = np.array([0.0, 3.0, 3.5, 998.0, 999.0])  # at a step: the stretch after it; at the last: the one before it
    curve = schedule.log_snr(np.arange(1000))
    slope = np.diff(curve)[[0, 3, 3, 998, 998]]
    alpha, sigma = schedule.alpha(t), schedule.sigma(t)
    np.testing.assert_allclose(along(schedule.log_snr, t)[1], slope, rtol=1e-14)
    np.testing.assert_allclose(along(schedule.alpha, t)[1], alpha * sigma**2 * slope / 2, rtol=1e-13)
    np.testing.assert_allclose(along(schedule.sigma, t)[1], -sigma * alpha**2 * slope / 2, rtol=1e-13)
    for name in ("log_snr", "alpha", "sigma"):
        assert np.array_equal(along(getattr(schedule, name), t)[0], getattr(schedule, name)(t))


def test_beyond_its_ends_the_inverse_of_a_schedule_rests():
    schedule = Schedule.linear(10)
    level = np.array([schedule.log_snr(0) + 1, schedule.log_snr(9) - 1])
    assert [part.tolist() for part in along(schedule.t_of_log_snr, level)] == [[0.0, 9.0], [0.0, 0.0]]


def test_times_outside_a_schedule_are_rejected_in_complex_numbers_too():
    schedule = Schedule.linear(10)
    for t in (9.5, np.array([1.0, 9.5])):
        with pytest.raises(ValueError, match="t: got"):
            jvp(schedule.alpha, [np.asarray(t)], [np.ones_like(t)])


def test_a_noised_image_moves_with_its_time():
    x0, eps, t = randn(3, 2), randn(3, 2, seed=1), np.array([2.5, 30.0, 41.75])
    schedule = Schedule.cosine(50)
    y, dy = jvp(lambda t: schedule.add_noise(x0, eps, t), [t], [np.ones(3)])
    dalpha, dsigma = along(schedule.alpha, t)[1], along(schedule.sigma, t)[1]
    np.testing.assert_allclose(dy, dalpha[:, None] * x0 + dsigma[:, None] * eps, rtol=1e-14)
    assert np.array_equal(y, schedule.add_noise(x0, eps, t))


@pytest.mark.parametrize("schedule", [VP(), Schedule.linear(1000)], ids=repr)
def test_a_denoiser_moves_with_its_time(schedule):
    t = np.array([0.2, 0.3, 0.5, 0.9]) * (1 if isinstance(schedule, VP) else 999)
    fourier = UNet(in_channels=1, out_channels=1, block_out_channels=(4,), layers_per_block=1, norm_num_groups=2,
                   attention_head_dim=4, down_block_types=("DownBlock2D",), up_block_types=("UpBlock2D",),
                   time_embedding_type="fourier", rng=0)  # fmt: skip
    mlp, images = MLP(2, width=6, depth=1, rng=0).astype(np.float64), randn(4, 2, 2, 1)
    for denoiser, x in (
        (MIXTURE.denoiser(schedule), X),
        (Denoiser(mlp, schedule, "v"), X),
        (EDMDenoiser(mlp, schedule), X),
        (Denoiser(fourier.astype(np.float64), schedule), images),
    ):
        y, dy = jvp(lambda t, d=denoiser, x=x: d(x, t)[1], [t], [np.ones(4)])
        h = 1e-6 * t[0]
        ups = [denoiser(x, t + k * h)[1] for k in (1, -1)]
        np.testing.assert_allclose(y, denoiser(x, t)[1], rtol=1e-12, atol=1e-13)
        np.testing.assert_allclose(dy, (ups[0] - ups[1]) / (2 * h), rtol=1e-5, atol=1e-6 * abs(dy).max())
        scalar = jvp(lambda t, d=denoiser, x=x: d(x, t[()])[1], [t[0]], [np.ones(())])[1]
        np.testing.assert_allclose(scalar[0], dy[0], rtol=1e-12, atol=1e-13)
