"""The models and losses that only studies have: their gradients, and what they feed a model."""

import numpy as np
import pytest

from minidiff import gradcheck
from minidiff.diffusion import Schedule
from minidiff.models import MLP
from minidiff.models.denoising_autoencoder import DenoisingAutoencoder
from minidiff.studies import knowing_t, noise_level, predictions

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
