"""A gradient case for each text-to-image model, tiny, whose condition is a tuple of arrays."""

import numpy as np

from .. import models, nn
from .inputs import stirred

_TINY = dict(block_out_channels=(4, 8), layers_per_block=1, norm_num_groups=2, attention_head_dim=2, time_embedding_dim=4,
             down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
             up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"))  # fmt: skip
_MASK = np.array([[1, 1, 1, 0], [1, 1, 1, 1]], bool)
_TIMES = np.array([3, 900])


class _Conditioned(nn.Layer):
    """A model whose condition is a tuple, as a layer of arrays: x, t, and those of the tuple that have gradients."""

    def __init__(self, net, arrange):
        self.net, self._arrange = net, arrange

    def forward(self, x, t, *condition):
        return self.net(x, t, self._arrange(*condition))


def _text(context, vector):
    return models.TextCondition(context, _MASK, vector)


def TextUNet(pick, randn):
    conditioning = ("add", "concat", "cross", "both")[pick(0, 3)]
    net = models.TextUNet(conditioning, 1, 2, context_features=3, pooled_features=2, patch=2, maps=2, rng=1, **_TINY)
    return stirred(_Conditioned(net, _text), randn), [randn(2, 4, 8, 1), _TIMES, randn(2, 4, 3), randn(2, 2)]


def SuperResolutionUNet(pick, randn):
    net = models.SuperResolutionUNet(1, 2, 1, context_features=3, patch=pick(1, 2), rng=1, **_TINY)

    def arrange(low, context):
        return models.LowResolution(low, np.array([0, 7]), context, _MASK)

    return stirred(_Conditioned(net, arrange), randn), [randn(2, 4, 8, 1), _TIMES, randn(2, 2, 4, 1), randn(2, 4, 3)]


def EmbeddingUNet(pick, randn):
    net = models.EmbeddingUNet(3, 1, 2, tokens=2, token_features=3, patch=pick(1, 2), rng=1, **_TINY)
    return stirred(net, randn), [randn(2, 4, 8, 1), _TIMES, randn(2, 3)]


def Prior(pick, randn):
    net = models.Prior(3, context_features=2, pooled_features=3, length=4, width=8, layers=2, heads=2, rng=1)
    return stirred(_Conditioned(net, _text), randn), [randn(2, 3), _TIMES, randn(2, 4, 2), randn(2, 3)]


MODELS = [TextUNet, SuperResolutionUNet, EmbeddingUNet, Prior]
