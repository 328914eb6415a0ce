"""A gradient case for every layer and block that the models trained here use."""

from .. import models, nn
from ..backend import xp_of
from ..rng import Rng
from .inputs import classes, image, stirred


def Linear(pick, randn):
    i = pick(1, 5)
    return nn.Linear(i, pick(1, 5), rng=1), [randn(pick(2, 3), pick(1, 3), i)]


def Conv2d(pick, randn):
    c = pick(1, 3)
    return nn.Conv2d(c, pick(1, 3), 3, pick(1, 2), 1, rng=1), [image(pick, randn, c)]


def GroupNorm(pick, randn):
    groups = pick(1, 3)
    return stirred(nn.GroupNorm(groups, 2 * groups), randn), [image(pick, randn, 2 * groups)]


def LayerNorm(pick, randn):
    d = pick(2, 6)
    return stirred(nn.LayerNorm(d), randn), [randn(pick(2, 3), pick(1, 3), d)]


def Embedding(pick, randn):
    rows = pick(2, 5)
    return nn.Embedding(rows, pick(1, 4), rng=1), [classes(pick(2, 6), rows)]


def Attention(pick, randn):
    heads, b = pick(1, 3), pick(2, 3)
    d, e = heads * pick(1, 3), pick(1, 4)
    layer = nn.Attention(d, heads, context_features=e, bias=True, rng=1)
    return layer, [randn(b, pick(1, 5), d), randn(b, pick(1, 4), e)]


def SpatialAttention(pick, randn):
    heads = pick(1, 2)
    return stirred(nn.SpatialAttention(2 * heads, heads, groups=heads, rng=1), randn), [image(pick, randn, 2 * heads)]


def ResnetBlock2D(pick, randn):
    c, o, d = 2 * pick(1, 2), 2 * pick(1, 2), pick(1, 4)
    block = models.unet.blocks.ResnetBlock2D(c, o, d, groups=2, scale_shift=bool(pick(0, 1)), rescale=1.5, rng=1)
    x = image(pick, randn, c)
    return stirred(block, randn), [x, randn(x.shape[0], d)]


def Downsample2D(pick, randn):
    return models.unet.blocks.Downsample2D(2, padding=pick(0, 1), rng=1), [image(pick, randn, 2)]


def Upsample2D(pick, randn):
    return models.unet.blocks.Upsample2D(2, rng=1), [image(pick, randn, 2)]


def TimestepEmbedding(pick, randn):
    i = pick(1, 4)
    return models.conditioning.TimestepEmbedding(i, pick(1, 4), rng=1), [randn(pick(2, 4), i)]


def SiLU(pick, randn):
    return nn.SiLU(), [randn(pick(2, 3), pick(1, 5)) * 3]


def GELU(pick, randn):
    return nn.GELU(), [randn(pick(2, 3), pick(1, 5)) * 2]


def Sequential(pick, randn):
    i, o = pick(1, 4), pick(1, 4)
    return nn.Sequential(nn.Linear(i, o, rng=1), nn.SiLU(), nn.Linear(o, 2, rng=2)), [randn(pick(2, 3), i)]


class _Training(nn.Layer):
    """A layer in training, with the same random numbers in every call."""

    def __init__(self, layer):
        self.layer = layer

    def forward(self, x):
        with nn.training(Rng(3, xp=xp_of(x))):
            return self.layer(x)


def Dropout(pick, randn):
    return _Training(nn.Dropout(pick(0, 9) / 10)), [randn(pick(2, 4), pick(2, 6))]


LAYERS = [Linear, Conv2d, GroupNorm, LayerNorm, Embedding, Attention, SpatialAttention, ResnetBlock2D, Downsample2D,
          Upsample2D, TimestepEmbedding, SiLU, GELU, Sequential, Dropout]  # fmt: skip
