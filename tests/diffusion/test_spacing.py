import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minidiff.diffusion import Schedule, exponential_sigmas, karras_sigmas, spaced_steps
from minidiff.diffusion.sigmas import schedule_sigmas, sigma_of_t, t_of_sigma

LINEAR = Schedule.linear(1000)
RULES = {"karras": karras_sigmas, "exponential": exponential_sigmas}


def test_against_diffusers(diffusers_numbers, outside):
    for name, digest in diffusers_numbers["spacing"].items():
        spacing, steps = name.split()
        t = spaced_steps(1000, int(steps), spacing)
        assert t.dtype == np.int64
        outside([len(t), t[0], t[-1], t.sum(), (t * np.arange(1, len(t) + 1)).sum()], digest, atol=0)
    for spacing, t in diffusers_numbers["spacing_skip_last"].items():
        outside(spaced_steps(1000, 10, spacing, skip_last=True), t, atol=0)
    outside(spaced_steps(1000, 10, "leading", offset=1), diffusers_numbers["spacing_offset"], atol=0)
    outside(spaced_steps(1100, 10, "linspace", whole=False), diffusers_numbers["euler_t"], atol=1e-4)


def test_by_hand():
    assert spaced_steps(10, 3, "leading").tolist() == [6, 3, 0]
    assert spaced_steps(10, 3, "linspace").tolist() == [9, 4, 0]  # 4.5 goes to the even neighbour
    assert spaced_steps(10, 3, "trailing").tolist() == [9, 6, 2]
    assert spaced_steps(1000, 10, "quadratic").tolist() == [800, 632, 483, 355, 246, 158, 88, 39, 9, 0]
    assert spaced_steps(1000, 1, "leading").tolist() == [0] and spaced_steps(1000, 1, "trailing").tolist() == [999]
    assert spaced_steps(LINEAR, 10).tolist() == list(range(900, -1, -100))


@given(st.integers(1, 300), st.data(), st.sampled_from(["leading", "linspace", "trailing", "quadratic"]))
def test_descending_inside_and_as_many_as_asked(T, data, spacing):
    steps = data.draw(st.integers(1, T))
    t = spaced_steps(T, steps, spacing)
    assert len(t) == steps and t.dtype == np.int64
    assert (np.diff(t) < 0).all() and t[0] < T and t[-1] >= 0
    if steps == T:
        np.testing.assert_array_equal(t, np.arange(T)[::-1])


@pytest.mark.parametrize("rule", ["karras", "exponential"])
def test_noise_levels_as_spacing(rule, diffusers_numbers, outside):
    t = spaced_steps(LINEAR, 10, rule)
    assert t.dtype == np.float64 and (np.diff(t) < 0).all()
    outside(t, diffusers_numbers[rule]["t"], atol=0.01)  # in float32 their lowest level, sqrt(1 - 0.9999), is 8e-5 high
    theirs = np.array(diffusers_numbers[rule]["sigmas"])
    outside(t_of_sigma(LINEAR, theirs), diffusers_numbers[rule]["t"], atol=1e-3)
    np.testing.assert_allclose(sigma_of_t(LINEAR, t), RULES[rule](*schedule_sigmas(LINEAR)[[0, -1]], 10), rtol=1e-10)


@pytest.mark.parametrize(
    "arguments, match",
    [
        ((1000, 0), "steps: got 0, expected a whole number from 1 to T = 1000"),
        ((1000, 1001), "steps: got 1001"),
        ((1000, -3), "steps: got -3"),
        ((1000, 10.0), "steps: got 10.0"),
        ((1000, True), "steps: got True"),
        ((1000, 10, "trailling"), "did you mean trailing"),
        ((1000, 10, "karras"), "pass the Schedule"),
        ((1000, 1000, "leading", 1), "offset: got 1, which moves the steps to 1 .. 1000"),
        ((1000, 10, "leading", -1), "offset: got -1"),
        ((10, 10, "linspace", 0, True), "visit a step twice"),
        ((10, 10, "leading", 0, True), "visit a step twice"),
    ],
)
def test_bad_input(arguments, match):
    with pytest.raises(ValueError, match=match):
        spaced_steps(*arguments)
