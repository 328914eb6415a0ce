"""The pieces that the studies are made of, each against something known."""

import math

import numpy as np
import pytest

from minidiff import gradcheck
from minidiff.diffusion import GaussianMixture, Schedule
from minidiff.models import MLP
from minidiff.models.denoising_autoencoder import DenoisingAutoencoder
from minidiff.samplers import ddim, ddpm, ddpm_respaced, ddpm_subset
from minidiff.samplers.gaussian_chain import generated_variance
from minidiff.studies import digits, guidance, knowing_t, noise_level, noising_steps, predictions
from minidiff.studies.table import full, line, mean_and_error, over_seeds, read_table, write_table

S = Schedule.cosine(1000)
PICTURES = np.random.default_rng(0).uniform(-1, 1, (4, 4, 4, 1))


# ---- tables ----------------------------------------------------------------------------------------------------------


def test_standard_error_of_the_mean():
    assert mean_and_error([1.0, 2.0, 3.0, 6.0]) == (3.0, pytest.approx(np.std([1, 2, 3, 6], ddof=1) / 2))
    assert mean_and_error([5]) == (5.0, None)
    row = over_seeds((3, 4), lambda seed: {"a": seed, "b": 1.0})
    assert row == {"a": 3.5, "a_error": 0.5, "b": 1.0, "b_error": 0.0, "seeds": 2}


def test_a_table_goes_out_and_comes_back(tmp_path):
    rows = [{"name": "a, b", "n": 3, "x": 0.1}, {"name": "c", "x": 2e-7, "y": None}]
    write_table(rows, tmp_path / "t.csv")
    assert read_table(tmp_path / "t.csv") == full(rows)
    assert full(rows)[0] == {"name": "a, b", "n": 3, "x": 0.1, "y": None}
    assert line({"a": 1, "x": 0.5, "x_error": 0.01, "none": None}) == "a 1   x 0.5 ± 0.01"


# ---- nets and their losses -------------------------------------------------------------------------------------------


def test_autoencoder_gradients():
    gradcheck.check_layer(DenoisingAutoencoder(width=4, groups=2, rng=0).astype(np.float64), PICTURES)
    with pytest.raises(ValueError, match="H and W even"):
        DenoisingAutoencoder(width=4, groups=2)(PICTURES[:, :3])


class Net:
    """Any function of a picture with its slope: y = 0.3 x, and the mean of a picture as one number."""

    def __init__(self, to_number):
        self.to_number = to_number

    def __call__(self, x, *_):
        if self.to_number:
            return 3 * x.mean(axis=(1, 2)), lambda dy: np.broadcast_to(dy[:, None, None] * (3 / x[0].size), x.shape)
        return 0.3 * x, lambda dy: 0.3 * dy


@pytest.mark.parametrize("objective, to_number", [(noise_level.CleanUp(), False), (knowing_t.GuessT(S), True)])
def test_losses_are_mean_squares_with_their_slope(objective, to_number):
    """Moved along the gradient that comes back, the loss falls by as much as the gradient says."""
    shift, h = np.zeros_like(PICTURES), 1e-6

    def loss(shift):
        net = Net(to_number)
        return objective(lambda x, *_: net(x + shift), PICTURES, np.random.default_rng(1), None)

    value, back = loss(shift)
    slope = back()
    direction = np.random.default_rng(2).standard_normal(PICTURES.shape)
    numerical = (loss(h * direction)[0] - loss(-h * direction)[0]) / (2 * h)
    assert (slope * direction).sum() == pytest.approx(numerical, rel=1e-5) and value > 0


def test_a_timeless_net_hears_t_0():
    net = MLP(features=2, width=8, depth=1, num_class_embeds=3, null_class=2, rng=0)
    x, c = np.ones((3, 2), np.float32), np.array([0, 1, 2])
    timeless = knowing_t.Timeless(net)
    for t in (700, 3.5, np.array([1, 2, 3])):
        np.testing.assert_array_equal(timeless.predict(x, t, c), net.predict(x, 0, c))
    assert (timeless.null_cond(c) == 2).all()


def test_flat_mlp_gradients():
    net = predictions.FlatMLP(8).astype(np.float64)
    x = np.random.default_rng(0).standard_normal((2, 8, 8, 1))
    gradcheck.check(lambda x: net(x, 10, np.array([1, 2])), x)


# ---- noise -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", noise_level.KINDS)
@pytest.mark.parametrize("std", [0.2, 0.7])
def test_every_kind_of_noise_has_the_size_it_says(kind, std):
    images = np.random.default_rng(0).uniform(-1, 1, (3000, 6, 6, 1)) ** 3
    z = noise_level.noise(kind, images, std, np.random.default_rng(1))
    assert z.shape == images.shape and math.sqrt((z**2).mean()) == pytest.approx(std, rel=0.03)
    assert abs(z.mean()) < 0.02


def test_psnr_by_hand():
    a = np.zeros((2, 2, 2, 1))
    b = a + np.array([0.1, 0.3])[:, None, None, None]
    value, error = noise_level.psnr(b, a)
    assert value == pytest.approx(10 * math.log10(4 / 0.05))
    assert error == pytest.approx(10 / math.log(10) * 0.04 / 0.05)


def test_cleaning_up_with_the_perfect_denoiser():
    """Data N(0, 0.2^2): one look gives the mean of what is possible, the DDPM chain draws from it, twice as far away."""
    data = GaussianMixture(np.zeros((1, 4, 4, 1)), stds=0.2)
    clean = data.sample(0, 400)
    std = 0.3
    noisy = clean + std * np.random.default_rng(1).standard_normal(clean.shape)
    denoiser, t = data.denoiser(S), np.full(400, S.t_of_log_snr(-2 * math.log(std)))
    best = 0.2**2 * std**2 / (0.2**2 + std**2)
    look = noise_level.one_look(denoiser, noisy, t, None)
    assert ((look - clean) ** 2).mean() == pytest.approx(best, rel=0.05)
    drawn = noise_level.chain(denoiser, noisy, t, np.zeros(400, int), "ddpm_respaced", steps=100)
    assert ((drawn - clean) ** 2).mean() == pytest.approx(2 * best, rel=0.1)
    assert drawn.std() == pytest.approx(0.2, rel=0.05)


# ---- guidance --------------------------------------------------------------------------------------------------------


def test_tilted_moments_without_weight_are_the_class_s():
    assert guidance.tilted_moments(0.0) == (pytest.approx(1.0, abs=1e-6), pytest.approx(1.0, abs=1e-6))
    means = [guidance.tilted_moments(w)[0] for w in (0.0, 1.0, 4.0)]
    assert means[0] < means[1] < means[2]


def test_diversity_is_the_mean_distance_within_a_class():
    vectors = np.array([[0.0, 0], [3, 4], [1, 1], [1, 1], [1, 1]])
    assert guidance.diversity(vectors, np.array([0, 0, 1, 1, 1])) == pytest.approx((5 + 0) / 2)


# ---- chains on Gaussian data -----------------------------------------------------------------------------------------


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


# ---- what is shared --------------------------------------------------------------------------------------------------


def test_calls_are_counted_and_noise_is_the_same_for_all():
    counted = digits.Counted(GaussianMixture(np.zeros((1, 8, 8, 1)), stds=0.5).denoiser(S))
    a = digits.draw_samples("ddim", counted, 3, 5, cond=False, steps=7)
    assert counted.calls == 7 and a.dtype == np.float32 and a.shape == (3, 8, 8, 1)
    digits.draw_samples("heun", counted, 3, 5, cond=False, steps=4, sigmas=None)
    assert counted.calls == 7 + 2 * 4 - 1
    np.testing.assert_array_equal(digits.start_noise(5, 3), digits.start_noise(5, 3))
    assert abs(digits.start_noise(6, 3) - digits.start_noise(5, 3)).min() > 0
