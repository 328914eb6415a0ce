"""The cases of `selfcheck` for the parts that other people's checkpoints need: transformers, smooth resampling, ..."""

import numpy as np

from . import models, nn, ops
from .backend import xp_of


def _image(pick, randn, channels):
    return randn(pick(2, 3), pick(3, 7), pick(3, 8), channels)


# ---- ops -----------------------------------------------------------------------------------------------------------------


def _elementwise(op):
    def case(pick, randn):
        x = randn(pick(2, 4), pick(1, 6)) * 2
        return op, [x + 0.01 * xp_of(x).sign(x)]  # relu has a corner at 0: keep away from it

    case.__name__ = op.__name__
    return case


def geglu(pick, randn):
    return ops.geglu, [randn(pick(2, 3), pick(1, 4), 2 * pick(1, 4))]


def add_group_norm_silu(pick, randn):
    groups, b, p = pick(1, 3), pick(2, 3), pick(2, 5)
    c = groups * pick(1, 3)

    def f(x, gamma, beta, bias, temb, residual):
        (s, y), back = ops.add_group_norm_silu(x, gamma, beta, groups, bias=bias, temb=temb, residual=residual)

        def back_both(dboth):
            dx, *rest = back(dboth[..., c:], dboth[..., :c])
            return dx, *rest, dx

        return ops.concat([s, y])[0], back_both

    return f, [randn(b, p, c), randn(c), randn(c), randn(c), randn(b, c), randn(b, p, c)]


def rms_norm(pick, randn):
    d = pick(2, 7)
    return ops.rms_norm, [randn(pick(2, 3), pick(1, 4), d), randn(d)]


def resize_nearest(pick, randn):
    height, width = pick(1, 9), pick(1, 9)
    return lambda x: ops.resize_nearest(x, height, width), [_image(pick, randn, pick(1, 3))]


def space_to_depth(pick, randn):
    size = pick(1, 3)
    return lambda x: ops.space_to_depth(x, size), [randn(pick(2, 3), size * pick(1, 3), size * pick(1, 3), pick(1, 3))]


def depth_to_space(pick, randn):
    size = pick(1, 3)
    return lambda x: ops.depth_to_space(x, size), [randn(pick(2, 3), pick(1, 3), pick(1, 3), size**2 * pick(1, 3))]


def fir_downsample(pick, randn):
    edge = ("zero", "reflect")[pick(0, 1)]
    return lambda x: ops.fir_downsample(x, edge), [_image(pick, randn, pick(1, 3))]


def fir_upsample(pick, randn):
    edge = ("zero", "reflect")[pick(0, 1)]
    return lambda x: ops.fir_upsample(x, edge), [_image(pick, randn, pick(1, 3))]


def attention_with_scale_and_bias(pick, randn):
    heads, b, n, m = pick(1, 3), pick(2, 3), pick(1, 5), pick(2, 6)
    d, scale, bias = heads * pick(1, 3), pick(1, 3) / 2, randn((1, b)[pick(0, 1)], heads, n, m)
    return (lambda q, k, v, bias: ops.attention(q, k, v, heads, scale=scale, bias=bias)), \
        [randn(b, n, d), randn(b, m, d), randn(b, m, d), bias]  # fmt: skip


def sliced_attention(pick, randn):
    heads, b, n, rows = pick(1, 3), pick(2, 3), pick(1, 7), pick(1, 4)
    d, bias = heads * pick(1, 3), randn(1, heads, (1, n)[pick(0, 1)], n)
    causal = xp_of(bias).asarray(np.tril(np.ones((n, n), bool)))
    return (lambda q, k, v, bias: ops.sliced_attention(q, k, v, heads, causal, None, bias, rows)), \
        [randn(b, n, d) for _ in range(3)] + [bias]  # fmt: skip


OPS = [add_group_norm_silu, *map(_elementwise, (ops.relu, ops.mish, ops.quick_gelu, ops.gelu_tanh)), geglu, rms_norm,
       resize_nearest, space_to_depth, depth_to_space, fir_downsample, fir_upsample, attention_with_scale_and_bias,
       sliced_attention]  # fmt: skip

# ---- layers and blocks ---------------------------------------------------------------------------------------------------


def RMSNorm(pick, randn):
    d = pick(2, 6)
    return _stirred(nn.RMSNorm(d), randn), [randn(pick(2, 3), pick(1, 3), d)]


def GEGLU(pick, randn):
    i = pick(1, 4)
    return nn.GEGLU(i, pick(1, 4), rng=1), [randn(pick(2, 3), pick(1, 3), i)]


def FeedForward(pick, randn):
    d, act = pick(1, 4), ("geglu", "gelu", "quick_gelu")[pick(0, 2)]
    return nn.FeedForward(d, 2, act, rng=1), [randn(pick(2, 3), pick(1, 3), d)]


def BasicTransformerBlock_with_causal_mask(pick, randn):
    heads, n = pick(1, 2), pick(1, 5)
    block = _stirred(nn.BasicTransformerBlock(4 * heads, heads, 4, rng=1), randn)
    return block, [randn(pick(2, 3), n, 4 * heads), None, None, nn.causal_mask(n)]


def BasicTransformerBlock(pick, randn):
    heads, b, m, e = pick(1, 2), pick(2, 3), pick(2, 4), pick(1, 3)
    only, double = ((False, False), (True, False), (False, True))[pick(0, 2)]
    block = nn.BasicTransformerBlock(4 * heads, heads, 4, e, only_cross_attention=only, double_self_attention=double, rng=1)
    mask = None if double else np.arange(m)[None, :] < np.arange(b)[:, None] + 1  # of the context, which `double` never sees
    return _stirred(block, randn), [randn(b, pick(1, 5), 4 * heads), randn(b, m, e), mask]


def Transformer2DModel(pick, randn):
    heads, e, linear = pick(1, 2), pick(1, 3), bool(pick(0, 1))
    net = nn.Transformer2DModel(8, heads, 4, pick(1, 2), e, groups=2, linear_projection=linear, rng=1)
    x = _image(pick, randn, 8)
    return _stirred(net, randn), [x, randn(x.shape[0], pick(1, 4), e)]


def ResnetBlock2D_that_resamples(pick, randn):
    kind, d = ("up", "down", "fir_up", "fir_down")[pick(0, 3)], pick(1, 3)
    block = models.resnet.ResnetBlock2D(4, 4, d, groups=2, resample=kind, shortcut=bool(pick(0, 1)), act="mish", rng=1)
    x = _image(pick, randn, 4)
    return _stirred(block, randn), [x, randn(x.shape[0], d)]


def ResnetBlockCondNorm2D(pick, randn):
    o, d = 4 * pick(1, 2), pick(1, 3)
    block = models.unet_k_blocks.ResnetBlockCondNorm2D(4, o, d, 2, 4, 1e-5, rng=1)
    x = _image(pick, randn, 4)
    return _stirred(block, randn), [x, randn(x.shape[0], d)]


LAYERS = [RMSNorm, GEGLU, FeedForward, BasicTransformerBlock, BasicTransformerBlock_with_causal_mask, Transformer2DModel,
          ResnetBlock2D_that_resamples, ResnetBlockCondNorm2D]  # fmt: skip


def _stirred(layer, randn):
    """Every number of the layer moved, so that no norm stands at 1 and 0, where a forgotten factor would not show."""
    for param in layer.parameters().values():
        param.value = param.value + 0.3 * randn(*param.shape)
    return layer
