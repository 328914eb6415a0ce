"""The blocks of the U-Net against figures of the diffusers test suite, drawn from torch's random numbers without torch.

Source: Hugging Face diffusers (Apache-2.0), tests/models/test_layers_utils.py; seed 0, sample first, then embedding,
then the module's parameters; the figures are out[0, -1, -3:, -3:] of the channels-first output, tolerance 1e-3 (strong:
they see layout, order of operations, scales, padding and initialisation).
"""

import numpy as np
import pytest
from torch_random import TorchRandom

from minidiff import ops
from minidiff.models.unet import UNet
from minidiff.models.unet.blocks import Downsample2D, ResnetBlock2D, Upsample2D

ROWS = {
    "upsample": [-0.2173, -1.2079, -1.2079, 0.2952, 1.1254, 1.1254, 0.2952, 1.1254, 1.1254],
    "upsample and conv": [0.7145, 1.3773, 0.3492, 0.8448, 1.0839, -0.3341, 0.5956, 0.1250, -0.4841],
    "downsample": [0.9267, 0.5878, 0.3337, 1.2321, -0.1191, -0.3984, -0.7532, -0.0715, -0.3913],
    "residual block": [-1.9010, -0.2974, -0.8245, -1.3533, 0.8742, -0.9645, -2.0584, 1.3387, -0.4746],
}


def _run(name):
    rng = TorchRandom(0)
    size = 64 if name in ("downsample", "residual block") else 32
    x = np.ascontiguousarray(rng.standard_normal((1, 32, size, size)).transpose(0, 2, 3, 1))  # (1, size, size, 32)
    if name == "upsample":
        return ops.upsample_nearest(x)[0]
    if name == "upsample and conv":
        return Upsample2D(32, rng=rng).predict(x)
    if name == "downsample":
        return Downsample2D(32, rng=rng).predict(x)
    temb = rng.standard_normal((1, 128))
    return ResnetBlock2D(32, 32, 128, groups=32, eps=1e-6, rng=rng).predict(x, temb)


@pytest.mark.parametrize("name", ROWS)
def test_block(name, outside):
    y = _run(name)
    outside(y[0, -3:, -3:, -1].ravel(), ROWS[name], atol=1e-3)


# A whole small net: diffusers's UNet2DModel built after torch.manual_seed(0), then x (2, 3, 16, 16), t, class;
# made once by `python tests/oracles/make_unet_numbers.py`, which needs torch and diffusers.
UNET = dict(sample_size=16, block_out_channels=(32, 64), layers_per_block=2, attention_head_dim=8, num_class_embeds=11)


def test_whole_unet_from_seed_0(outside, oracle_unet):
    rng = TorchRandom(0)
    net = UNet(**UNET, rng=rng)
    x = np.ascontiguousarray(rng.standard_normal((2, 3, 16, 16)).transpose(0, 2, 3, 1))
    y = net.predict(x, np.array([5, 999]), np.array([1, 10]))
    outside(y[0, :3, :3, 0].ravel(), oracle_unet["corner"], atol=1e-5)
    outside(np.abs(y).mean(axis=(1, 2, 3)), oracle_unet["mean_abs"], atol=1e-5)


def test_timestep_embedding_in_both_orders(outside):
    """Written out from the formula, entry by entry, in plain Python."""
    import math

    t, dim = [0, 1, 37, 999], 10
    for flip in (False, True):
        for shift in (0, 1):
            ours = ops.timestep_embedding(np.array(t), dim, flip_sin_to_cos=flip, downscale_freq_shift=shift, dtype=np.float64)
            freqs = [10000 ** (-i / (dim // 2 - shift)) for i in range(dim // 2)]
            sines, cosines = ([[f(s * w) for w in freqs] for s in t] for f in (math.sin, math.cos))
            first, second = (cosines, sines) if flip else (sines, cosines)
            outside(ours, [a + b for a, b in zip(first, second, strict=True)], atol=1e-10)


@pytest.fixture
def oracle_unet():
    import json
    from pathlib import Path

    return json.loads(Path(__file__).with_name("unet.json").read_text())
