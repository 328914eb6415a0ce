"""The study `noise_level`: its kinds of noise, PSNR, and cleaning up with a perfect denoiser."""

import math

import numpy as np
import pytest

from minidiff.diffusion import GaussianMixture, Schedule
from minidiff.studies import noise_level

S = Schedule.cosine(1000)


@pytest.mark.parametrize("kind", noise_level.KINDS)
@pytest.mark.parametrize("std", [0.2, 0.7])
def test_every_kind_of_noise_has_its_standard_deviation(kind, std):
    images = np.random.default_rng(0).uniform(-1, 1, (3000, 6, 6, 1)) ** 3
    z = noise_level.noise(kind, images, std, np.random.default_rng(1))
    assert z.shape == images.shape and math.sqrt((z**2).mean()) == pytest.approx(std, rel=0.03)
    assert abs(z.mean()) < 0.02


def test_psnr_by_hand():
    a = np.zeros((2, 2, 2, 1))
    b = a + np.array([0.1, 0.3])[:, None, None, None]
    assert noise_level.psnr(b, a) == pytest.approx(10 * math.log10(4 / 0.05))


def test_cleaning_up_with_the_perfect_denoiser():
    """Data N(0, 0.2^2): one evaluation gives the mean of what is possible, the DDPM chain draws from it, twice as far away."""
    data = GaussianMixture(np.zeros((1, 4, 4, 1)), stds=0.2)
    clean = data.sample(0, 400)
    std = 0.3
    noisy = clean + std * np.random.default_rng(1).standard_normal(clean.shape)
    denoiser, t = data.denoiser(S), np.full(400, S.t_of_log_snr(-2 * math.log(std)))
    best = 0.2**2 * std**2 / (0.2**2 + std**2)
    look = noise_level.one_evaluation(denoiser, noisy, t, None)
    assert ((look - clean) ** 2).mean() == pytest.approx(best, rel=0.05)
    drawn = noise_level.chain(denoiser, noisy, t, np.zeros(400, int), "ddpm_respaced", steps=100)
    assert ((drawn - clean) ** 2).mean() == pytest.approx(2 * best, rel=0.1)
    assert drawn.std() == pytest.approx(0.2, rel=0.05)
