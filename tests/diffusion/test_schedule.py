import copy
import math
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minidiff.diffusion import Schedule

ALL = {
    "linear": Schedule.linear(1000),
    "scaled_linear": Schedule.scaled_linear(1000),
    "quadratic": Schedule.quadratic(1000),
    "cosine": Schedule.cosine(1000),
    "sigmoid": Schedule.sigmoid(1000),
}


@pytest.mark.parametrize("name", ["linear", "scaled_linear", "cosine", "sigmoid"])
def test_against_diffusers(name, diffusers_numbers, outside):
    at, theirs, ours = diffusers_numbers["at"], diffusers_numbers[name], ALL[name]
    outside(ours.betas[at] / theirs["betas"], np.ones(len(at)), atol=2e-6)  # theirs are float32 from the start
    outside(ours.alpha_bar[at], theirs["alpha_bar"], atol=2e-6)


def test_quadratic_is_scaled_linear_with_the_ends_of_ddpm():
    np.testing.assert_array_equal(ALL["quadratic"].betas, Schedule.scaled_linear(1000, 1e-4, 0.02).betas)
    assert ALL["quadratic"].betas[0] == pytest.approx(1e-4) and ALL["quadratic"].betas[-1] == pytest.approx(0.02)
    middle = ((1e-4**0.5 + 0.02**0.5) / 2) ** 2
    assert Schedule.quadratic(3).betas[1] == pytest.approx(middle, rel=1e-14)


def test_zero_terminal_snr_against_diffusers(diffusers_numbers, outside):
    ours = Schedule.linear(1000).rescale_zero_terminal_snr()
    outside(ours.alpha_bar[diffusers_numbers["at"]], diffusers_numbers["zero_terminal_snr"], atol=2e-6)
    outside(ours.alpha_bar[-2], diffusers_numbers["zero_terminal_snr"][-2], atol=2e-11)
    assert ours.alpha_bar[-1] == 0 and ours.alpha(999) == 0 and ours.sigma(999) == 1 and ours.log_snr(999) == -math.inf
    assert ours.alpha_bar[0] == pytest.approx(Schedule.linear(1000).alpha_bar[0], rel=1e-14)


def test_zero_terminal_snr_has_real_valued_t_up_to_its_end():
    s = Schedule.linear(1000).rescale_zero_terminal_snr()
    t = np.linspace(998, 999, 11)
    assert (np.diff(s.alpha(t)) < 0).all() and np.isfinite(s.alpha(t)).all() and s.alpha(998.999) < 1e-12
    assert 998 < s.t_of_log_snr(-30.0) < 999 and s.t_of_log_snr(-math.inf) == 999
    with pytest.raises(ValueError, match="T: got 1"):
        Schedule.linear(1).rescale_zero_terminal_snr()


@pytest.mark.parametrize("name", ALL)
def test_every_schedule_is_variance_preserving_and_falls(name):
    s = ALL[name]
    t = np.arange(1000)
    np.testing.assert_allclose(s.alpha(t) ** 2 + s.sigma(t) ** 2, 1, rtol=1e-14)
    np.testing.assert_allclose(s.alpha_bar, np.cumprod(s.alphas), rtol=1e-15)
    assert (np.diff(s.log_snr(t)) < 0).all()
    np.testing.assert_allclose(s.log_snr(t), 2 * np.log(s.alpha(t) / s.sigma(t)), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", ALL)
def test_real_valued_t_passes_through_the_steps_and_is_linear_in_log_snr_between(name):
    s = ALL[name]
    whole = np.arange(1000)
    for curve in (s.alpha, s.sigma, s.log_snr):
        np.testing.assert_allclose(curve(whole.astype(float)), curve(whole), rtol=1e-11)
        assert curve(417.0) == curve(417)
    assert s.log_snr(417.25) == pytest.approx(0.75 * s.log_snr(417) + 0.25 * s.log_snr(418), rel=1e-14)
    assert s.alpha(417.25) == pytest.approx(1 / math.sqrt(1 + math.exp(-s.log_snr(417.25))), rel=1e-14)
    np.testing.assert_allclose(s.alpha(np.array([417.25, 3.5])), [s.alpha(417.25), s.alpha(3.5)], rtol=1e-15)


@given(st.floats(0, 999))
def test_t_of_log_snr_is_the_inverse(t):
    for s in ALL.values():
        assert s.t_of_log_snr(s.log_snr(t)) == pytest.approx(t, abs=1e-7)


def test_scalars_stay_python_floats_so_float32_stays_float32():
    s, x = ALL["linear"], np.ones((2, 3), np.float32)
    for t in (5, np.int64(5), 5.5):
        for curve in (s.alpha, s.sigma, s.log_snr):
            assert type(curve(t)) is float
    assert type(s.t_of_log_snr(0.0)) is float
    assert s.add_noise(x, x, 5).dtype == np.float32
    assert s.add_noise(x, x, np.array([5, 6])).dtype == np.float32
    assert s.add_noise(x, x, np.array([5.5, 6.0])).dtype == np.float32


def test_add_noise_against_diffusers(diffusers_numbers, picture, sums, outside):
    xt = ALL["linear"].add_noise(*picture, np.array([0, 10, 500, 999]))
    outside(sums(xt), diffusers_numbers["add_noise"], atol=2e-4)  # a sum of 768 float32 numbers


def test_snr_against_diffusers(diffusers_numbers, outside):
    log_snr = ALL["linear"].log_snr(np.array([0, 10, 500, 999]))
    outside(log_snr, np.log(diffusers_numbers["snr"]), atol=3e-4)  # theirs is float32: 1 - 0.9999 has 4 digits left


@pytest.mark.parametrize("T", [1, 2, 10, 4000])
def test_any_T(T):
    for name in ALL:
        s = Schedule.named(name, T)
        assert s.T == T and s.alpha(T - 1) <= s.alpha(0) and s.alpha(0.0) == s.alpha(0)
    scaled = Schedule.linear(T, scale_to_T=True)
    np.testing.assert_allclose(scaled.betas, np.minimum(np.linspace(1e-4, 0.02, T) * 1000 / T, 0.999), rtol=1e-14)


def test_scaled_betas_end_at_the_same_noise_whatever_T():
    ends = [math.log(Schedule.linear(T, scale_to_T=True).alpha_bar[-1]) for T in (500, 1000, 4000)]
    np.testing.assert_allclose(ends, math.log(ALL["linear"].alpha_bar[-1]), rtol=0.02)


def test_arrays_are_frozen():
    with pytest.raises(ValueError, match="read-only"):
        ALL["linear"].betas[0] = 0.5
    with pytest.raises(AttributeError):
        ALL["linear"].betas = np.ones(3)


@pytest.mark.parametrize(
    "make, match",
    [
        (lambda: Schedule.linear(0), "T: got 0"),
        (lambda: Schedule.linear(10.5), "T: got 10.5"),
        (lambda: Schedule.cosine(-1), "T: got -1"),
        (lambda: Schedule.linear(10, 0.02, 1e-4), "beta_start, beta_end: got 0.02"),
        (lambda: Schedule.linear(10, 0.0, 0.1), "beta_start, beta_end: got 0.0"),
        (lambda: Schedule.from_betas([]), "betas: got shape"),
        (lambda: Schedule.from_betas([[0.1]]), "betas: got shape"),
        (lambda: Schedule.from_betas([0.1, 1.5]), "betas: got values"),
        (lambda: Schedule.from_betas([0.1, math.nan]), "betas: got values"),
        (lambda: Schedule.named("cosin"), "did you mean cosine"),
        (lambda: ALL["linear"].alpha(1000), r"t: got 1000, expected a step in \[0, 999\]"),
        (lambda: ALL["linear"].alpha(-1), "t: got -1"),
        (lambda: ALL["linear"].sigma(999.5), "t: got 999.5"),
        (lambda: ALL["linear"].sigma(np.array([3, 1000])), "t: got 3 to 1000"),
        (lambda: ALL["linear"].sigma(np.array([-0.5, 3.0])), "t: got -0.5 to 3"),
    ],
)
def test_bad_input(make, match):
    with pytest.raises(ValueError, match=match):
        make()


def test_a_schedule_in_use_is_copied_and_pickled():
    """Its tables are kept by array library, and a module cannot be pickled."""
    schedule = Schedule.linear(50)
    schedule.alpha(np.array([3, 4]))
    for other in (copy.deepcopy(schedule), pickle.loads(pickle.dumps(schedule))):
        assert np.array_equal(other.alpha_bar, schedule.alpha_bar) and repr(other) == repr(schedule)
        assert np.array_equal(other.sigma(np.array([3, 4])), schedule.sigma(np.array([3, 4])))
