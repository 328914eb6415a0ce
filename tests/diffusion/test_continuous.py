import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minidiff.diffusion import EDM, VE, VP, Flow, GaussianMixture, Interpolant, Schedule, SubVP

ROUND = Interpolant(lambda t: np.cos(1.5 * t), lambda t: np.sin(1.5 * t))
ALL = [VP(), VP(0.5, 8.0), VP(3.0, 3.0), SubVP(), VE(), VE(0.02, 100.0), EDM(), Flow(), Flow(3.0), ROUND]


@pytest.mark.parametrize("process", ALL, ids=repr)
def test_coefficients_are_those_of_the_equation(process):
    """f = d log alpha / dt and g^2 = d sigma^2 / dt - 2 f sigma^2, so that x_t = alpha x0 + sigma eps solves it."""
    t = np.linspace(process.t_min, process.t_max, 9)[1:-1]
    h = 1e-5 * t
    f = (np.log(process.alpha(t + h)) - np.log(process.alpha(t - h))) / (2 * h)
    growth = (process.sigma(t + h) ** 2 - process.sigma(t - h) ** 2) / (2 * h)
    np.testing.assert_allclose(process.f(t), f, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(process.g(t) ** 2, growth - 2 * f * process.sigma(t) ** 2, rtol=1e-6)


@pytest.mark.parametrize("process", ALL, ids=repr)
@given(share=st.floats(0, 1))
def test_t_of_log_snr_is_the_inverse(process, share):
    t = process.t_min + share * (process.t_max - process.t_min)
    assert process.t_of_log_snr(process.log_snr(t)) == pytest.approx(t, rel=1e-9)


@pytest.mark.parametrize("process", ALL, ids=repr)
def test_numbers_and_arrays_agree(process):
    t = np.linspace(process.t_min, process.t_max, 5)
    for name in ("alpha", "sigma", "log_snr", "f", "g"):
        curve = getattr(process, name)
        assert all(type(curve(x)) is float for x in (t[1], float(t[1]), 1))
        np.testing.assert_array_equal(curve(t), [curve(x) for x in t])
        assert curve(t.astype(np.float32)).dtype == np.float64
    assert type(process.t_of_log_snr(0.0)) is float
    assert (np.diff(process.log_snr(t)) < 0).all()
    x = np.ones((5, 2), np.float32)
    assert process.add_noise(x, x, t).dtype == np.float32


def test_vp_by_the_numbers():
    """alpha(1)^2 = exp(-(0.1 + 20) / 2); beta runs straight from 0.1 to 20."""
    p = VP()
    assert p.alpha(1.0) ** 2 == pytest.approx(math.exp(-10.05), rel=1e-12)
    assert p.g(0.0) ** 2 == pytest.approx(0.1) and p.g(1.0) ** 2 == pytest.approx(20.0) and p.f(1.0) == -10.0
    t = np.linspace(0, 1, 5)
    np.testing.assert_allclose(p.alpha(t) ** 2 + p.sigma(t) ** 2, 1, rtol=1e-14)


def test_vp_is_ddpm_with_small_steps():
    """Song et al. 2021, appendix B: T betas beta(t) / T. At T = 4000 they agree to a few parts in a thousand."""
    s, p = Schedule.from_betas(np.linspace(0.1, 20, 4000) / 4000), VP()
    t = np.array([400, 2000, 3999])
    np.testing.assert_allclose(s.log_snr(t), p.log_snr((t + 1) / 4000), atol=0.03)


def test_sub_vp_by_the_numbers():
    p, t = SubVP(), np.linspace(0.01, 1, 5)
    np.testing.assert_allclose(p.sigma(t), 1 - VP().alpha(t) ** 2, rtol=1e-10)
    np.testing.assert_array_equal(p.alpha(t), VP().alpha(t))
    assert (p.sigma(t) <= VP().sigma(t)).all()
    np.testing.assert_allclose(p.g(t) ** 2, VP().g(t) ** 2 * (1 - VP().alpha(t) ** 4), rtol=1e-10)


def test_ve_and_edm_by_the_numbers():
    p = VE(0.01, 50)
    assert p.sigma(0.0) == 0.01 and p.sigma(1.0) == pytest.approx(50) and p.sigma(0.5) == pytest.approx((0.01 * 50) ** 0.5)
    assert p.alpha(0.3) == 1 and p.f(0.3) == 0 and p.prior_std == pytest.approx(50)
    assert p.g(0.5) == pytest.approx(p.sigma(0.5) * math.sqrt(2 * math.log(5000)))
    e = EDM()
    assert (e.t_min, e.t_max, e.sigma(3.0), e.alpha(3.0), e.g(3.0)) == (0.002, 80.0, 3.0, 1.0, math.sqrt(6))
    assert VP().prior_std == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("process", [VP(), SubVP(), VE(0.01, 5.0)], ids=repr)
def test_the_reverse_equation_carries_noise_to_data(process):
    """dx = (f x - g^2 score) dt + g dw backwards, in small steps, brings the mixture back: mean and covariance."""
    mixture, n, steps = GaussianMixture([[-1.0, 0.5], [1.0, 0.0]], stds=[0.4, 0.6]), 4000, 300
    rng = np.random.default_rng(0)
    x = mixture.sample(rng, n) * process.alpha(1.0) + process.prior_std * rng.standard_normal((n, 2))
    t = np.linspace(1, 0 if isinstance(process, VE) else 0.02, steps + 1)
    for now, after in zip(t[:-1].tolist(), t[1:].tolist(), strict=True):
        h, g = now - after, process.g(now)
        drift = process.f(now) * x - g * g * mixture.score(x, process.alpha(now), process.sigma(now))
        x = x - h * drift + g * math.sqrt(h) * rng.standard_normal((n, 2))
    truth = process.alpha(t[-1]) * mixture.sample(1, 200_000)
    truth = truth + process.sigma(t[-1]) * np.random.default_rng(2).standard_normal(truth.shape)
    np.testing.assert_allclose(x.mean(axis=0), truth.mean(axis=0), atol=4 * 1.2 / n**0.5)
    np.testing.assert_allclose(np.cov(x.T), np.cov(truth.T), atol=0.1)  # 3.5 standard errors, and the error of the steps


@pytest.mark.parametrize(
    "make, match",
    [
        (lambda: VP(-1, 2), "beta_min, beta_max: got -1, 2"),
        (lambda: VP(2, 1), "beta_min, beta_max"),
        (lambda: SubVP(0, 0), "beta_min, beta_max"),
        (lambda: VE(0, 1), "sigma_min, sigma_max: got 0, 1"),
        (lambda: EDM(2, 1), "sigma_min, sigma_max: got 2, 1"),
    ],
)
def test_bad_input(make, match):
    with pytest.raises(ValueError, match=match):
        make()
