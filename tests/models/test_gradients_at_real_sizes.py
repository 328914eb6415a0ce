"""<dy, J v> = <J^T dy, v> for models at the widths that people use, along one random v of the input and all parameters at once.

Images and texts are small: the widths, depths and numbers of parameters are what is real here.
"""

import numpy as np
import pytest

from minidiff import models
from minidiff.complex_step import jvp
from minidiff.rng import Rng

DDPM_CIFAR10 = dict(  # Ho et al. 2020, as google/ddpm-cifar10-32
    block_out_channels=(128, 256, 256, 256), layers_per_block=2, attention_head_dim=None, norm_eps=1e-6, freq_shift=1,
    down_block_types=("DownBlock2D", "AttnDownBlock2D", "DownBlock2D", "DownBlock2D"), downsample_padding=0,
    up_block_types=("UpBlock2D", "UpBlock2D", "AttnUpBlock2D", "UpBlock2D"), flip_sin_to_cos=False,
)  # fmt: skip
SD1_AUTOENCODER = dict(
    block_out_channels=(128, 256, 512, 512), layers_per_block=2, down_block_types=("DownEncoderBlock2D",) * 4,
    up_block_types=("UpDecoderBlock2D",) * 4,
)  # fmt: skip
SD1_TEXT_ENCODER = dict(
    vocab_size=49408, hidden_size=768, intermediate_size=3072, num_hidden_layers=12, num_attention_heads=12,
)  # fmt: skip


def randn(shape, seed):
    return Rng(seed).standard_normal(shape, dtype=np.float64)


@pytest.mark.slow
@pytest.mark.parametrize("kind, options, size, arrays", [
    ("UNet", DDPM_CIFAR10, 35_746_307, [randn((1, 8, 8, 3), 0), np.array([400])]),
    ("AutoencoderKL", SD1_AUTOENCODER, 83_653_863, [randn((1, 16, 16, 3), 0)]),
    ("CLIPTextModel", SD1_TEXT_ENCODER, 123_060_480, [np.array([[49406, 320, 1125, 539, 320, 2368, 49407]])]),
], ids=["ddpm-cifar10", "sd1-autoencoder", "sd1-text-encoder"])  # fmt: skip
def test_all_parameters_at_once(kind, options, size, arrays):
    model = getattr(models, kind)(**options, rng=0).astype(np.float64)
    assert model.size() == size
    params = model.parameters()
    for seed, param in enumerate(params.values()):
        if param.value.ndim == 1:  # norms and biases away from 1 and 0
            param.value += 0.1 * randn(param.shape, seed)
    y, back = model(*arrays)
    dy = randn(y.shape, 1)
    tangents = [randn(a.shape, 2) if a.dtype == np.float64 else None for a in arrays]
    dx = back(dy)
    by_back = sum((dx * v).sum() for v in tangents if v is not None)
    vs, rng = {}, Rng(3)
    for path, param in params.items():
        v = rng.standard_normal(param.shape, dtype=np.float32)  # twice as fast as in float64, and as random
        vs[path] = v * (0.1 * abs(param.value).max())
        by_back += np.vdot(param.grad, vs[path])
        param.grad = None  # a hundred million numbers, no longer needed
    del back
    y2, slope = jvp(model, arrays, tangents, vs)
    np.testing.assert_allclose(y2, y, rtol=1e-10, atol=1e-11)
    assert (dy * slope).sum() == pytest.approx(by_back, rel=1e-11)
