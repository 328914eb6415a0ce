"""The cross-attention block of the Stable Diffusion U-Net against a figure of the diffusers test suite, without torch.

Source: Hugging Face diffusers (Apache-2.0), tests/models/test_layers_utils.py; seed 0: the sample, then the module's
parameters, then the context. The figure is out[0, -1, -3:, -3:] of the channels-first output, tolerance 1e-3 (strong).
"""

import numpy as np
from torch_random import TorchRandom

from minidiff.nn import Transformer2DModel

FIGURE = [0.0143, -0.6909, -2.1547, -1.8893, 1.4097, 0.1359, -0.2521, -1.3359, 0.2598]


def test_transformer_block_with_cross_attention(outside):
    rng = TorchRandom(0)
    x = np.ascontiguousarray(rng.standard_normal((1, 64, 64, 64)).transpose(0, 2, 3, 1))
    block = Transformer2DModel(channels=64, heads=2, head_dim=32, context_features=64, rng=rng)
    context = rng.standard_normal((1, 4, 64))
    y = block.predict(x, context)
    outside(y[0, -3:, -3:, -1].ravel(), FIGURE, atol=1e-3)


def test_in_slices_it_is_the_same_block(outside):
    rng = TorchRandom(0)
    x = np.ascontiguousarray(rng.standard_normal((1, 64, 64, 64)).transpose(0, 2, 3, 1))
    block = Transformer2DModel(channels=64, heads=2, head_dim=32, context_features=64, rng=rng)
    for inner in block.transformer_blocks:
        inner.attn1.max_scores = inner.attn2.max_scores = 300 * 2 * 4096
    outside(block.predict(x, rng.standard_normal((1, 4, 64)))[0, -3:, -3:, -1].ravel(), FIGURE, atol=1e-3)
