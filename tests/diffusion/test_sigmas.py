import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minidiff.diffusion import Schedule, exponential_sigmas, karras_sigmas
from minidiff.diffusion.sigmas import log_uniform_sigmas, schedule_sigmas, sigma_of_t, t_of_sigma

LINEAR = Schedule.linear(1000)


def test_against_diffusers(diffusers_numbers, outside):
    levels = schedule_sigmas(LINEAR)
    for rule, ours in (("karras", karras_sigmas), ("exponential", exponential_sigmas)):
        theirs = np.array(diffusers_numbers[rule]["sigmas"])
        outside(ours(levels[0], levels[-1], 10) / theirs, np.ones(10), atol=1.5e-4)  # their lowest level has 4 digits
        outside(ours(theirs[-1], theirs[0], 10) / theirs, np.ones(10), atol=1e-6)


def test_against_k_diffusion(outside):
    """k-diffusion 0.1.1: get_sigmas_karras(5, 0.1, 10), get_sigmas_exponential(5, 0.1, 10), without the final 0."""
    outside(karras_sigmas(0.1, 10, 5), [10, 4.070104, 1.450732, 0.4324528, 0.1], atol=2e-6)
    outside(exponential_sigmas(0.1, 10, 5), [10, 3.162278, 1, 0.3162278, 0.09999999], atol=2e-6)


@given(st.floats(0.001, 1), st.floats(1, 200), st.integers(2, 50), st.floats(1, 10))
def test_ends_and_order(low, high, steps, rho):
    for levels in (karras_sigmas(low, high, steps, rho), exponential_sigmas(low, high, steps)):
        np.testing.assert_allclose(levels[[0, -1]], [high, low], rtol=1e-9)
        assert (np.diff(levels) <= 0).all()


def test_what_is_even_in_each():
    np.testing.assert_allclose(np.diff(karras_sigmas(0.1, 10, 9) ** (1 / 7), 2), 0, atol=1e-12)
    np.testing.assert_allclose(np.diff(karras_sigmas(0.1, 10, 9, rho=1.0), 2), 0, atol=1e-12)
    np.testing.assert_allclose(np.diff(np.log(exponential_sigmas(0.1, 10, 9)), 2), 0, atol=1e-12)
    assert log_uniform_sigmas is exponential_sigmas and karras_sigmas(0.1, 10, 1).tolist() == pytest.approx([10])


def test_levels_between_the_steps(diffusers_numbers, outside):
    s, t = Schedule.linear(1100), np.linspace(0, 1099, 10)[::-1]
    # float32 loses 8e-5 of the lowest level (sqrt(1 - 0.9999)) and 1e-3 of nothing else
    outside(sigma_of_t(s, t, "linear")[:-1] / diffusers_numbers["euler_sigmas"][:-1], np.ones(9), atol=1e-5)
    outside(sigma_of_t(s, t, "linear")[-1], diffusers_numbers["euler_sigmas"][-1], atol=1e-6)
    assert sigma_of_t(s, 3.5, "linear") == pytest.approx((schedule_sigmas(s)[3] + schedule_sigmas(s)[4]) / 2, rel=1e-14)
    assert sigma_of_t(s, 3.5) == pytest.approx((schedule_sigmas(s)[3] * schedule_sigmas(s)[4]) ** 0.5, rel=1e-12)
    assert type(sigma_of_t(s, 3.5)) is float


@given(st.floats(0, 999))
def test_t_of_sigma_is_the_inverse(t):
    assert t_of_sigma(LINEAR, sigma_of_t(LINEAR, t)) == pytest.approx(t, abs=1e-7)


@pytest.mark.parametrize(
    "make, match",
    [
        (lambda: karras_sigmas(0, 1, 5), "sigma_min, sigma_max: got 0, 1"),
        (lambda: karras_sigmas(2, 1, 5), "sigma_min, sigma_max: got 2, 1"),
        (lambda: exponential_sigmas(0.1, np.inf, 5), "sigma_min, sigma_max"),
        (lambda: exponential_sigmas(0.1, 1, 0), "steps: got 0"),
        (lambda: sigma_of_t(LINEAR, 3, "cubic"), "interpolation: got 'cubic'"),
    ],
)
def test_bad_input(make, match):
    with pytest.raises(ValueError, match=match):
        make()
