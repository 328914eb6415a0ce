"""A gradient case for each method and function of the models that goes its own way back: encode, decode, embed, pool."""

import numpy as np

from .. import models, nn
from ..models import autoencoder_kl, clip, dit
from .inputs import image, stirred


def _autoencoder(pick, randn, kind=models.AutoencoderKL):
    net = kind(in_channels=1, out_channels=2, block_out_channels=(4,), norm_num_groups=2, latent_channels=pick(1, 2),
               mid_block_add_attention=False, rng=1)  # fmt: skip
    return stirred(net, randn).astype(np.float64)


def AutoencoderKL_encode(pick, randn):
    return _autoencoder(pick, randn).encode, [randn(2, 3, 4, 1)]


def AutoencoderKL_decode(pick, randn):
    net = _autoencoder(pick, randn)
    return net.decode, [randn(2, 3, 4, net.config["latent_channels"])]


def VQModel_encode(pick, randn):
    return _autoencoder(pick, randn, models.VQModel).encode, [randn(2, 3, 4, 1)]


def Classifier_embed(pick, randn):
    net = models.Classifier((4, 5, 2), classes=3, width=2, features=4, timed=True, rng=1)
    return stirred(net, randn).astype(np.float64).embed, [randn(2, 4, 5, 2), np.array([3, 900])]


def CLIPTextModel_pool(pick, randn):
    net = models.CLIPTextModel(vocab_size=9, hidden_size=4, intermediate_size=4, num_hidden_layers=1, num_attention_heads=1,
                               max_position_embeddings=6, eos_token_id=(2, 7)[pick(0, 1)], rng=1)  # fmt: skip
    return net.pool, [randn(2, 4, pick(1, 3)), np.array([[1, 5, 7, 3], [0, 7, 7, 8]])]


def sample_posterior(pick, randn):
    moments = image(pick, randn, 2 * pick(1, 3))
    noise = (None, randn(*moments[..., ::2].shape))[pick(0, 1)]
    return lambda m: autoencoder_kl.sample_posterior(m, noise), [moments]


def kl_divergence(pick, randn):
    return autoencoder_kl.kl_divergence, [image(pick, randn, 2 * pick(1, 3))]


def unit_vectors(pick, randn):
    return clip.unit_vectors, [randn(pick(2, 4), pick(2, 5))]


def steered(pick, randn):
    b, d = pick(1, 2), pick(2, 4)
    layer = nn.Linear(d, d, rng=1).astype(np.float64)
    return lambda *arrays: dit.steered(layer, *arrays), [randn(b, pick(1, 3), d), randn(b, d), randn(b, d), randn(b, d)]


def chain(pick, randn):
    d = pick(1, 3)
    layers = [nn.SiLU(), None, nn.Linear(d, d, rng=1).astype(np.float64)]
    return lambda x: nn.chain(layers, x), [randn(pick(2, 3), d)]


def owned(pick, randn):
    weight = nn.Param(randn(pick(1, 3)))

    def scale(x, w):
        return x * w, lambda dy: (dy * w, (dy * x).sum(axis=0))

    return lambda x: nn.owned(*scale(x, weight.value), weight), [randn(pick(2, 3), *weight.shape)]


PARTS = [AutoencoderKL_encode, AutoencoderKL_decode, VQModel_encode, Classifier_embed, CLIPTextModel_pool, sample_posterior,
         kl_divergence, unit_vectors, steered, chain, owned]  # fmt: skip
