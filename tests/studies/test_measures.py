"""What studies measure, against closed forms: guidance, chains on Gaussian data, calls of a model."""

import numpy as np
import pytest

from minidiff import studies, training
from minidiff.diffusion import GaussianMixture, Schedule
from minidiff.samplers import ddim, ddpm, ddpm_respaced, ddpm_subset
from minidiff.samplers.gaussian_chain import generated_variance
from minidiff.studies import digits, guidance, knowing_t, noising_steps, small

S = Schedule.cosine(1000)


def test_tilted_moments_without_weight_are_the_class_s():
    assert guidance.tilted_moments(0.0) == (pytest.approx(1.0, abs=1e-6), pytest.approx(1.0, abs=1e-6))
    means = [guidance.tilted_moments(w)[0] for w in (0.0, 1.0, 4.0)]
    assert means[0] < means[1] < means[2]


def test_diversity_is_the_mean_distance_within_a_class():
    vectors = np.array([[0.0, 0], [3, 4], [1, 1], [1, 1], [1, 1]])
    assert guidance.diversity(vectors, np.array([0, 0, 1, 1, 1])) == pytest.approx((5 + 0) / 2)


def test_rounding_grows_with_the_number_of_steps_and_stays_small():
    errors = [noising_steps.rounding(Schedule.linear(T, scale_to_T=True), "fixed_small") for T in (10, 1000)]
    assert 1e-9 < errors[0] < errors[1] < 1e-5


def test_the_hack_leaves_more_noise_the_longer_its_strides():
    s = Schedule.linear(200, scale_to_T=True)
    hack = [generated_variance(ddpm_subset, s, 0.5, steps=200 // stride) for stride in (1, 2, 5, 20)]
    right = [generated_variance(f, s, 0.5, steps=40) for f in (ddpm_respaced, ddim)]
    assert hack[0] == pytest.approx(generated_variance(ddpm, s, 0.5), rel=1e-12)
    assert 0.2 < hack[0] < hack[1] < hack[2] < hack[3] < 1 and hack[2] > 2 * 0.25
    assert all(0.18 < v < 0.25 for v in right)


def test_variance_of_narrow_data_by_sampling():
    s, gaussian = Schedule.linear(50, scale_to_T=True), GaussianMixture([[0.0]], stds=0.5)
    *_, step = ddpm_subset(gaussian.denoiser(s), np.random.default_rng(0).standard_normal((40_000, 1)), 10, rng=1)
    assert step.x.var() == pytest.approx(generated_variance(ddpm_subset, s, 0.5, steps=10), rel=0.03)


def test_calls_are_counted_and_noise_is_the_same_for_all():
    counted = digits.Counted(GaussianMixture(np.zeros((1, 8, 8, 1)), stds=0.5).denoiser(S))
    a = digits.draw_samples("ddim", counted, 3, 5, cond=False, steps=7)
    assert counted.calls == 7 and a.dtype == np.float32 and a.shape == (3, 8, 8, 1)
    digits.draw_samples("heun", counted, 3, 5, cond=False, steps=4, sigmas=None)
    assert counted.calls == 7 + 2 * 4 - 1
    np.testing.assert_array_equal(digits.start_noise(5, 3), digits.start_noise(5, 3))
    assert abs(digits.start_noise(6, 3) - digits.start_noise(5, 3)).min() > 0


def test_ratios_are_taken_within_a_seed_and_over_the_times_chosen():
    """A network twice as far off at t = 0 and as good at t = 700: by hand."""
    errors = {("eps", "given t"): np.array([1.0, 0.5, 0.1]), ("eps", "without t"): np.array([2.0, 0.5, 0.1])}
    first = knowing_t.compared(errors, ("eps", "without t"), slice(0, 1))
    assert first == {"eps_mse": 2.0, "ratio": 2.0}
    times = np.array([0, 20, 700])
    assert knowing_t.compared(errors, ("eps", "without t"), knowing_t.inside(times))["ratio"] == 1
    assert knowing_t.compared(errors, ("eps", "without t"), times >= 0)["ratio"] == pytest.approx(2.6 / 1.6)


def test_the_error_of_a_network_that_predicts_zeros_is_the_variance_of_the_noise(tmp_path):
    options = studies.Options(out=tmp_path, quick=True, home=tmp_path)
    errors = knowing_t.error_by_t(options, 0, lambda x, t: 0 * x, Schedule.linear(1000))
    assert errors == pytest.approx(1, abs=0.2) and len(errors) == 3


@pytest.mark.parametrize("make", [lambda o, s: small.mlp(o, s, "m"), small.unet], ids=["mlp", "unet"])
def test_small_models_differ_between_training_seeds_and_are_trained_once(make, tmp_path, monkeypatch):
    options, x = studies.Options(out=tmp_path, quick=True, home=tmp_path), digits.start_noise(0, 2)
    first, second = (make(options, seed)(x, 90, np.array([1, 2]))[0] for seed in (0, 1))
    assert abs(first - second).max() > 1e-3
    monkeypatch.setattr(training.Trainer, "run", lambda *args, **kw: pytest.fail("trained again"))
    np.testing.assert_array_equal(make(options, 0)(x, 90, np.array([1, 2]))[0], first)
