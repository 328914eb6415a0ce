"""The models and losses that only studies have: their gradients, and what they feed a model."""

import numpy as np
import pytest

from minidiff import gradcheck
from minidiff.diffusion import Schedule
from minidiff.models.denoising_autoencoder import DenoisingAutoencoder
from minidiff.studies import knowing_t, noise_level, small, timed

S = Schedule.cosine(1000)
PICTURES = np.random.default_rng(0).uniform(-1, 1, (4, 4, 4, 1))


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


def test_a_network_without_t_predicts_the_same_at_every_t():
    x = np.random.default_rng(0).standard_normal((2, 8, 8, 1)).astype(np.float32)
    apart = {told: abs(np.subtract(*(timed.unet(0, told, 8).predict(x, t) for t in (3, 700)))).max() for told in ((), (0,))}
    assert apart[()] == 0 < apart[(0,)]


def test_networks_of_a_seed_start_alike_and_those_of_two_seeds_do_not():
    a, b, other = (timed.unet(seed, told, 8).state() for seed, told in ((1, range(8)), (1, ()), (2, range(8))))
    assert set(b) < set(a) and all((a[name] == b[name]).all() for name in b)
    assert (a["conv_in.weight"] != other["conv_in.weight"]).any()


@pytest.mark.parametrize("told", [(), (0, 3), range(8)])
def test_timed_unet_gradients(told):
    net = timed.unet(0, told, 8).astype(np.float64)
    gradcheck.check_layer(net, PICTURES[:2], 10, None)


def test_log_snr_labels_have_the_range_of_t():
    heard = []
    net = timed.TellLogSNR(lambda x, t, cond: heard.append(t) or (x, None), S)
    net(np.zeros((3, 2)), np.array([0, 500, 999]))
    assert heard[0][[0, 2]] == pytest.approx([0, 999])
    assert heard[0][1] == pytest.approx(999 * (S.log_snr(0) - S.log_snr(500)) / (S.log_snr(0) - S.log_snr(999)))


def test_flat_mlp_gradients():
    net = small.FlatMLP(8).astype(np.float64)
    x = np.random.default_rng(0).standard_normal((2, 8, 8, 1))
    gradcheck.check(lambda x: net(x, 10, np.array([1, 2])), x)
