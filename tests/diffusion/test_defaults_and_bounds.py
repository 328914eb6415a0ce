"""Default settings against the papers that they come from, and arguments at the bound of what is allowed."""

import math

import numpy as np
import pytest

from minidiff.diffusion import (
    EDM,
    VE,
    VP,
    CascadeLoss,
    Denoiser,
    EDMLoss,
    GaussianMixture,
    Schedule,
    SimpleLoss,
    clip_x0,
    dynamic_threshold,
    estimate_t,
    noise_std,
)
from minidiff.diffusion.continuous import SubVP
from minidiff.diffusion.sigmas import beta_quantile, beta_sigmas, exponential_sigmas, karras_sigmas
from minidiff.diffusion.thresholding import rederived
from minidiff.diffusion.timesteps import ByLoss, LogNormal, Uniform

S = Schedule.linear(10)


def test_processes_by_default():
    """Song et al. 2021, appendix C: VP from 0.1 to 20, VE from 0.01 to 50. Karras et al. 2022, table 1: 0.002 to 80."""
    for kind in (VP, SubVP):
        assert vars(kind()) == {"beta_min": 0.1, "beta_max": 20.0}
        assert (kind().t_min, kind().t_max) == (1e-5, 1.0)
    assert vars(VE()) == {"sigma_min": 0.01, "sigma_max": 50.0} and (VE().t_min, VE().t_max) == (1e-5, 1.0)
    assert (EDM().t_min, EDM().t_max) == (0.002, 80.0)


def test_losses_by_default():
    """A tenth of the labels is dropped (Ho and Salimans 2022); EDM's table 1: log sigma is N(-1.2, 1.2^2), data of 0.5."""
    for loss in (SimpleLoss(S), EDMLoss(), CascadeLoss(S)):
        assert loss.cond_dropout == 0.1
    loss = EDMLoss()
    assert loss.sigma_data == 0.5 and (loss.t_sampler.mean, loss.t_sampler.std) == (-1.2, 1.2)
    assert vars(LogNormal()) == {"mean": -1.2, "std": 1.2, "real": True}
    assert (loss.schedule.t_min, loss.schedule.t_max) == (0.002, 80.0)


@pytest.mark.parametrize("share", (0.0, 1.0))
def test_all_labels_or_none_may_be_dropped(share):
    assert SimpleLoss(S, cond_dropout=share).cond_dropout == share
    for wrong in (-0.1, 1.1):
        with pytest.raises(ValueError, match=r"cond_dropout: got .*expected a probability"):
            SimpleLoss(S, cond_dropout=wrong)


@pytest.mark.parametrize("kind, ends", [(VP, (0.0, 0.0)), (VP, (-0.1, 1.0)), (VP, (2.0, 1.0)), (SubVP, (0.0, 0.0)),
                                        (VE, (1.0, 1.0)), (VE, (0.0, 1.0)), (VE, (2.0, 1.0)), (VE, (-1.0, 1.0)),
                                        (EDM, (1.0, 1.0)), (EDM, (0.0, 1.0)), (EDM, (2.0, 1.0))])  # fmt: skip
def test_a_process_needs_its_ends_in_order(kind, ends):
    with pytest.raises(ValueError, match=f"got {ends[0]}, {ends[1]}"):
        kind(*ends)


@pytest.mark.parametrize(
    "process", (VP(0.0, 3.0), VP(1.5, 1.5), SubVP(0.5, 0.5), SubVP(0.3, 7.0), VE(0.1, 0.2), EDM(1, 2)), ids=repr
)
def test_a_process_at_its_bounds_inverts_its_log_snr(process):
    t = np.linspace(max(process.t_min, 1e-3), process.t_max, 7)
    np.testing.assert_allclose(process.t_of_log_snr(process.log_snr(t)), t, rtol=1e-10)


def test_quantiles_of_beta_distributions_in_closed_form():
    """Beta(1, 1) is uniform; (2, 1) and (1, 2) are powers; (1/2, 1/2) is the arcsine law; scipy 1.17.1 has the last."""
    p = np.linspace(0, 1, 11)
    np.testing.assert_allclose(beta_quantile(p, 1, 1), p, atol=1e-14)
    np.testing.assert_allclose(beta_quantile(p, 2, 1), np.sqrt(p), atol=1e-14)
    np.testing.assert_allclose(beta_quantile(p, 1, 2), 1 - np.sqrt(1 - p), atol=1e-14)
    np.testing.assert_allclose(beta_quantile(p, 3, 1), np.cbrt(p), atol=1e-14)
    np.testing.assert_allclose(beta_quantile(p, 0.5, 0.5), np.sin(np.pi * p / 2) ** 2, atol=1e-14)
    ppf = [0.0, 0.23360985483863547, 0.5623019370092918, 0.852260117297777, 1.0]  # beta.ppf([0, .25, .5, .75, 1], 0.7, 0.6)
    np.testing.assert_allclose(beta_quantile(np.array([0.0, 0.25, 0.5, 0.75, 1.0]), 0.7, 0.6), ppf, atol=1e-12)
    for a, b in ((0, 1), (1, 0), (-1, 1)):
        with pytest.raises(ValueError, match="two positive numbers"):
            beta_quantile(p, a, b)


@pytest.mark.parametrize("rule", (karras_sigmas, exponential_sigmas, beta_sigmas))
def test_noise_levels_at_their_bounds(rule):
    np.testing.assert_allclose(rule(2.0, 2.0, 3), 2.0, rtol=1e-12)
    assert len(rule(1.0, 2.0, 1)) == 1 and len(rule(1.0, 2.0, np.int64(2))) == 2
    np.testing.assert_allclose(rule(1.0, 2.0, 5)[[0, -1]], [2.0, 1.0], rtol=1e-12)
    for ends in ((0.0, 1.0), (-1.0, 1.0), (2.0, 1.0), (1.0, math.inf)):
        with pytest.raises(ValueError, match="expected 0 < sigma_min <= sigma_max, finite"):
            rule(*ends, 5)
    for steps in (0, -1, 2.0):
        with pytest.raises(ValueError, match="expected a whole number, at least 1"):
            rule(1.0, 2.0, steps)


@pytest.mark.parametrize("shape", ((2, 2, 2, 1), (2, 5, 7, 3), (1, 4, 6, 2), (1, 7, 4, 1)))
def test_noise_std_is_the_median_of_the_diagonal_detail(shape):
    """Donoho and Johnstone 1994, section 4.2, block by block."""
    x = np.random.default_rng(0).standard_normal(shape)
    for image, found in zip(x, noise_std(x), strict=True):
        detail = [abs(image[i, j] - image[i, j + 1] - image[i + 1, j] + image[i + 1, j + 1]) / 2
                  for i in range(0, shape[1] - 1, 2) for j in range(0, shape[2] - 1, 2)]  # fmt: skip
        assert found == pytest.approx(np.median(detail) / 0.6745, rel=1e-12)


@pytest.mark.parametrize("shape", ((3, 1, 4, 1), (3, 4, 1, 1), (3, 4, 4), (3, 4, 4, 1, 1)))
def test_noise_std_needs_images_of_two_by_two_pixels(shape):
    with pytest.raises(ValueError, match="at least 2 x 2 pixels"):
        noise_std(np.zeros(shape))


@pytest.mark.parametrize("highest, levels", ((0.3, 3), (0.26, 3), (0.01, 1), (1.0, 10)))
def test_a_cascade_draws_levels_below_its_highest(highest, levels):
    asked = []

    class Stop(Exception):
        """The levels have been drawn."""

    class Draws:
        def integers(self, high, size):
            asked.append((high, size))
            raise Stop

    with pytest.raises(Stop):
        CascadeLoss(S, highest=highest)(None, np.zeros((4, 2)), Draws())
    assert asked == [(levels, 4)]


def test_a_cascade_s_share_of_the_schedule():
    assert CascadeLoss(S).highest == 0.6
    for wrong in (0.0, -0.5, 1.01):
        with pytest.raises(ValueError, match="expected a share above 0, at most 1"):
            CascadeLoss(S, highest=wrong)


def test_only_sampling_by_loss_waits_for_the_losses():
    assert ByLoss.waits and not getattr(Uniform, "waits", False) and not getattr(LogNormal, "waits", False)
    assert ByLoss(S).losses.shape == (10, 10)  # a history of ten, as in the paper's code
    assert ByLoss(S).uniform_share == 0.001


def test_a_schedule_of_one_step_has_times_too():
    one = Schedule.linear(1)
    for t in (0, 0.0, np.array([0, 0]), np.array([0.0])):
        np.testing.assert_allclose(one.log_snr(t), np.log(one.alpha_bar[0] / (1 - one.alpha_bar[0])) + 0 * t, rtol=1e-12)
        np.testing.assert_allclose(one.alpha(t) ** 2 + one.sigma(t) ** 2, 1, rtol=1e-12)


def test_real_times_up_to_both_ends():
    t = np.array([0.0, 0.25, 8.5, 9.0])
    curve = np.log(S.alpha_bar / (1 - S.alpha_bar))
    np.testing.assert_allclose(S.log_snr(t), np.interp(t, np.arange(10), curve), rtol=1e-12)
    for wrong in (-0.1, 9.1, -1, 10):
        for given in (wrong, np.array([wrong]), np.array([0 * wrong, wrong])):
            with pytest.raises(ValueError, match="t: got"):
                S.alpha(given)


def test_the_null_condition_of_a_mixture_has_the_shape_of_the_labels():
    model = GaussianMixture([[0.0], [1.0]], stds=1.0).denoiser(S).model
    assert type(model.null_cond(1)) is int and model.null_cond(1) == -1
    np.testing.assert_array_equal(model.null_cond(np.array([0, 1, 1])), [-1, -1, -1])


def test_rederived_reaches_through_thresholds_and_leaves_others_alone():
    plain = Denoiser(lambda x, t, c: 3 * x, S, "x0")
    assert rederived(plain) is plain and clip_x0(plain).rederive is False and dynamic_threshold(plain).rederive is False
    twice = rederived(clip_x0(dynamic_threshold(plain), 0.5))
    assert twice.rederive and twice.denoiser.rederive and twice.denoiser.denoiser is plain and twice.bound == 0.5


@pytest.mark.parametrize("probes", (1, 2, 5))
@pytest.mark.parametrize("scaled", (True, False))
def test_probes_are_averaged(probes, scaled):
    """On one round Gaussian the Jacobian is a multiple of 1, and a probe of signs gives its trace exactly, as "exact" does."""
    denoiser = GaussianMixture([[0.2, -0.1, 0.4]], stds=0.5).denoiser(Schedule.linear(200))
    x = np.random.default_rng(0).standard_normal((4, 3))
    exact = estimate_t(denoiser, x, scaled=scaled, levels=16, divergence="exact")
    found = estimate_t(denoiser, x, scaled=scaled, levels=16, probes=probes, rng=0)
    np.testing.assert_allclose(found, exact, rtol=1e-9)
    assert len(set(exact.round(3))) > 1
