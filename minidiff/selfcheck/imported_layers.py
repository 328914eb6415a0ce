"""A gradient case for every layer and block that imported models add: transformers, blocks that resample."""

import numpy as np

from .. import models, nn
from .inputs import image, stirred


def RMSNorm(pick, randn):
    d = pick(2, 6)
    return stirred(nn.RMSNorm(d), randn), [randn(pick(2, 3), pick(1, 3), d)]


def GEGLU(pick, randn):
    i = pick(1, 4)
    return nn.GEGLU(i, pick(1, 4), rng=1), [randn(pick(2, 3), pick(1, 3), i)]


def FeedForward(pick, randn):
    d, act = pick(1, 4), ("geglu", "gelu", "quick_gelu")[pick(0, 2)]
    return nn.FeedForward(d, 2, act, rng=1), [randn(pick(2, 3), pick(1, 3), d)]


def BasicTransformerBlock_with_causal_mask(pick, randn):
    heads, n = pick(1, 2), pick(1, 5)
    block = stirred(nn.BasicTransformerBlock(4 * heads, heads, 4, rng=1), randn)
    return block, [randn(pick(2, 3), n, 4 * heads), None, None, nn.causal_mask(n)]


def BasicTransformerBlock(pick, randn):
    heads, b, m, e = pick(1, 2), pick(2, 3), pick(2, 4), pick(1, 3)
    only, double = ((False, False), (True, False), (False, True))[pick(0, 2)]
    block = nn.BasicTransformerBlock(4 * heads, heads, 4, e, only_cross_attention=only, double_self_attention=double, rng=1)
    mask = None if double else np.arange(m)[None, :] < np.arange(b)[:, None] + 1  # of the context, which `double` never sees
    return stirred(block, randn), [randn(b, pick(1, 5), 4 * heads), randn(b, m, e), mask]


def Transformer2DModel(pick, randn):
    heads, e, linear = pick(1, 2), pick(1, 3), bool(pick(0, 1))
    net = nn.Transformer2DModel(8, heads, 4, pick(1, 2), e, groups=2, linear_projection=linear, rng=1)
    x = image(pick, randn, 8)
    return stirred(net, randn), [x, randn(x.shape[0], pick(1, 4), e)]


def ResnetBlock2D_that_resamples(pick, randn):
    kind, d = ("up", "down", "fir_up", "fir_down")[pick(0, 3)], pick(1, 3)
    block = models.resnet.ResnetBlock2D(4, 4, d, groups=2, resample=kind, shortcut=bool(pick(0, 1)), act="mish", rng=1)
    x = image(pick, randn, 4)
    return stirred(block, randn), [x, randn(x.shape[0], d)]


def ResnetBlockCondNorm2D(pick, randn):
    o, d = 4 * pick(1, 2), pick(1, 3)
    block = models.unet.k_diffusion.ResnetBlockCondNorm2D(4, o, d, 2, 4, 1e-5, rng=1)
    x = image(pick, randn, 4)
    return stirred(block, randn), [x, randn(x.shape[0], d)]


def OneResnet(pick, randn):
    d = pick(1, 3)
    x = image(pick, randn, 4)
    middle = models.unet.blocks.OneResnet(4, d, groups=2, rng=1)
    return stirred(middle, randn), [x, randn(x.shape[0], d)]


LAYERS = [RMSNorm, GEGLU, FeedForward, BasicTransformerBlock, BasicTransformerBlock_with_causal_mask, Transformer2DModel,
          ResnetBlock2D_that_resamples, ResnetBlockCondNorm2D, OneResnet]  # fmt: skip
