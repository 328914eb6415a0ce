"""Default options, and options at the bound of what is allowed: what `sample`, `walk` and the samplers make of them."""

import math

import numpy as np
import pytest

from minidiff import samplers
from minidiff.diffusion import EDM, Denoiser, GaussianMixture, Schedule
from minidiff.samplers.editing import sdedit, slerp
from minidiff.samplers.gaussian_chain import generated_variance
from minidiff.samplers.options import POSITIVE, at_least, between, whole
from minidiff.samplers.run import first_noise, prior_std, sample, walk
from minidiff.samplers.trajectory import clipped

S = Schedule.linear(20)
X = np.random.default_rng(0).standard_normal((3, 2))


class Seen:
    """A denoiser that keeps what it is called with."""

    def __init__(self, schedule=S):
        self.schedule, self.calls = schedule, []

    def __call__(self, x, t, cond=None):
        self.calls.append((t, cond))
        return 0.5 * x, 0.1 * x


@pytest.mark.parametrize("allowed, good, bad", [
    (at_least(2), (2, 2.5, 7), (1.99, -3)), (between(0, 1), (0, 0.5, 1), (-0.01, 1.01)), (whole(1), (1, 2), (0, -1, 1.0)),
    (POSITIVE, (1e-9, 3), (0, -1)),
], ids=repr)  # fmt: skip
def test_what_an_annotation_allows(allowed, good, bad):
    for value in good:
        allowed.check("option", value)
    for value in bad:
        with pytest.raises(ValueError, match=r"option: got .*, expected a"):
            allowed.check("option", value)


@pytest.mark.parametrize("x, other", ((np.float32, np.float64), (np.float64, np.float32)))
def test_a_dtype_other_than_that_of_x(x, other):
    sample("ddim", Seen(), X.shape, 2, x=X.astype(x), dtype=x)
    with pytest.raises(ValueError, match=f"dtype: got {np.dtype(other)}, but x is {np.dtype(x)}"):
        sample("ddim", Seen(), X.shape, 2, x=X.astype(x), dtype=other)


@pytest.mark.parametrize("option, value", (("start", 1), ("from_clean", True)))
def test_options_that_need_x(option, value):
    with pytest.raises(ValueError, match=f"{option}: got {value} without x"):
        sample("ddim", Seen(), X.shape, 2, **{option: value})
    assert sample("ddim", Seen(), X.shape, 2, x=X, **{option: value}).shape == X.shape


def test_without_guidance_the_denoiser_gets_the_condition_itself():
    """A weight of 0 asks for nothing else: one call a step, with the condition as it is, and no unconditional one."""
    seen, cond = Seen(), np.array([1, 2, 0])
    list(walk("ddim", seen, X, 4, cond=cond))
    assert len(seen.calls) == 4 and all(told is cond for _, told in seen.calls)
    seen = Seen()
    list(walk("ddim", seen, X, 4, guidance=2.0))  # without a condition there is nothing to guide to
    assert len(seen.calls) == 4 and all(told is None for _, told in seen.calls)


def test_steps_by_default():
    """50, all T of a shorter schedule, and as many as there are noise levels."""
    for T, options, steps in ((20, {}, 20), (100, {}, 50), (20, {"sigmas": [0.4, 0.2, 0.1]}, 2), (100, {"steps": 7}, 7)):
        seen = Seen(Schedule.linear(T))
        assert len(list(walk("ddim", seen, X, **options))) == len(seen.calls) == steps
    assert len(list(samplers.ddpm(Seen(), X))) == 20
    assert len(list(sdedit(Seen(Schedule.linear(100)), X, 1.0))) == 50
    assert len(list(sdedit(Seen(Schedule.linear(100)), X))) == 25


def test_a_sampler_that_chooses_its_steps_has_a_trajectory_of_two():
    list(samplers.probability_flow(GaussianMixture([[0.0, 0.0]], stds=1.0).denoiser(S), X, start=1))
    with pytest.raises(ValueError, match="start: got 2, expected a step from 0 to 1 of this run of 2"):
        samplers.probability_flow(Seen(), X, start=2)


@pytest.mark.parametrize("strength", (0, -0.5, -1, 1.01))
def test_sdedit_walks_a_share_of_the_steps(strength):
    with pytest.raises(ValueError, match="expected a number above 0, at most 1"):
        sdedit(Seen(), X, strength)


@pytest.mark.parametrize("degrees", (1.5, 30, 60, 90, 120, 178))
@pytest.mark.parametrize("share", (0.0, 0.2, 0.5, 1.0))
def test_slerp_turns_by_its_share_of_the_angle(degrees, share):
    """Shoemake 1985: in the plane of the two, at the same length."""
    angle = math.radians(degrees)
    a, b = np.array([[2.0, 0.0, 0.0]]), 2 * np.array([[math.cos(angle), math.sin(angle), 0.0]])
    expected = 2 * np.array([[math.cos(share * angle), math.sin(share * angle), 0.0]])
    np.testing.assert_allclose(slerp(a, b, share), expected, atol=1e-12)


@pytest.mark.parametrize("uses, rederive, expected", [("x0", False, False), ("both", False, False), ("both", True, True),
                                                      ("eps", False, True), ("eps", True, True)])  # fmt: skip
@pytest.mark.parametrize("clip", (1.0, "dynamic"))
def test_whose_eps_follows_the_clipped_image(clip, uses, rederive, expected):
    assert clipped(Seen(), clip, rederive, uses).rederive is expected


@pytest.mark.parametrize("clip", (0.0, -1.0, "static"))
def test_a_clip_is_a_positive_bound(clip):
    with pytest.raises(ValueError, match="expected a positive bound, 'dynamic' or None"):
        clipped(Seen(), clip, False, "x0")


def test_the_first_noise_has_the_standard_deviation_of_the_schedule():
    edm = Seen(EDM())
    assert prior_std(edm) == 80.0 and prior_std(Seen()) == 1.0
    assert prior_std(edm, [3.0, 1.0]) == pytest.approx(math.hypot(1.0, 3.0), rel=1e-12)
    assert prior_std(edm, []) == prior_std(edm, [0.0]) == prior_std(edm, [-1.0]) == 80.0
    draws = np.random.default_rng(5).standard_normal((3, 2), dtype=np.float32)
    noise = first_noise(edm, (3, 2), np.random.default_rng(5))
    np.testing.assert_array_equal(noise, draws * np.float32(80))
    assert noise.dtype == np.float32


def test_generated_variance_of_one_step_in_closed_form():
    """One DDIM step to the clean image returns E[x0 | x] = alpha s^2 / (alpha^2 s^2 + sigma^2) x for x of variance 1."""
    alpha, sigma = S.alpha(19), S.sigma(19)
    for std in (1.0, 0.3):
        expected = (alpha * std**2 / (alpha**2 * std**2 + sigma**2)) ** 2
        assert generated_variance(samplers.ddim, S, std, steps=[19]) == pytest.approx(expected, rel=1e-12)
    assert generated_variance(samplers.ddim, S, steps=[19]) == generated_variance(samplers.ddim, S, 1.0, steps=[19])


@pytest.mark.parametrize("steps", ([], [3, 3], [3, 5]))
def test_times_that_do_not_descend(steps):
    with pytest.raises(ValueError, match="expected at least one, descending"):
        samplers.ddim(Denoiser(lambda x, t, c: x, S), X, steps)


@pytest.mark.parametrize("sigmas", ([1.0], [1.0, 1.0], [1.0, 2.0], [1.0, -0.5]))
def test_noise_levels_that_do_not_descend(sigmas):
    with pytest.raises(ValueError, match="expected at least two noise levels, descending, none negative"):
        samplers.ddim(Denoiser(lambda x, t, c: x, S), X, sigmas=sigmas)


def test_probability_flow_takes_one_step_or_more_as_its_most():
    for most in (None, 1, 2):
        samplers.probability_flow(Seen(), X, most)
    with pytest.raises(ValueError, match="steps: got 0, expected at least 1, or None"):
        samplers.probability_flow(Seen(), X, 0)


@pytest.mark.parametrize("options, total", (({"steps": 4}, 4), ({"steps": 4, "start": 1}, 3), ({"steps": [9, 5, 2]}, 3),
                                            ({"sigmas": [0.4, 0.2, 0.1]}, 2), ({}, 20)))  # fmt: skip
def test_a_bar_has_as_many_steps_as_the_run(options, total, monkeypatch):
    from minidiff.samplers import run as module

    shown = []
    monkeypatch.setattr(module, "show", lambda run, total, label: (shown.append((total, label)), run)[1])
    steps = list(walk("ddim", Seen(), X, progress=True, **options))
    assert shown == [(total, "ddim")] and len(steps) == total
