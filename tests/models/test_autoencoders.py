"""The losses and the sampling of the autoencoders: values by closed forms, gradients by slopes."""

import numpy as np
import pytest

from minidiff.gradcheck import check, check_layer
from minidiff.models.autoencoder_kl import kl_divergence, sample_posterior
from minidiff.models.vq_model import VectorQuantizer
from minidiff.nn import Layer
from minidiff.rng import Rng


def test_posterior_and_divergence():
    rng = Rng(0)
    moments, noise = rng.standard_normal((2, 3, 4, 6), np.float64), rng.standard_normal((2, 3, 4, 3), np.float64)
    check(lambda m: sample_posterior(m, noise), moments, tolerance=1e-12)
    check(lambda m: sample_posterior(m), moments, tolerance=1e-12)
    check(lambda m: kl_divergence(m), moments, tolerance=1e-12)
    assert float(kl_divergence(np.zeros((2, 3, 4, 6)))[0]) == 0  # N(0, 1) against itself
    mean, std = 0.7, 1.3  # the closed form for one number
    one = np.array([mean, 2 * np.log(std)]).reshape(1, 1, 1, 2)
    assert float(kl_divergence(one)[0]) == pytest.approx((mean**2 + std**2 - 1) / 2 - np.log(std), rel=1e-12)


def test_codebook_losses_by_slope():
    class Losses(Layer):
        def __init__(self):
            self.quantizer = VectorQuantizer(4, 3, rng=0)
            self.quantizer.embedding.weight.value = Rng(1).standard_normal((4, 3))

        def forward(self, z):  # with beta = 1 both terms are true gradients of one loss, up to the stop signs
            loss, back = self.quantizer.losses(z, beta=1.0)
            return loss * 0.5, lambda dloss: back(dloss)

    check_layer(Losses(), Rng(2).standard_normal((5, 3), np.float64), tolerance=1e-12)
