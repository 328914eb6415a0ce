"""The cases of `selfcheck` for the parts that other people's checkpoints need: transformers, smooth resampling, ..."""

import numpy as np

from . import ops


def _image(pick, randn, channels):
    return randn(pick(2, 3), pick(3, 7), pick(3, 8), channels)


# ---- ops -----------------------------------------------------------------------------------------------------------------


def _elementwise(op):
    def case(pick, randn):
        x = randn(pick(2, 4), pick(1, 6)) * 2
        return op, [x + 0.01 * np.sign(x)]  # relu has a corner at 0: keep away from it

    case.__name__ = op.__name__
    return case


def geglu(pick, randn):
    return ops.geglu, [randn(pick(2, 3), pick(1, 4), 2 * pick(1, 4))]


def rms_norm(pick, randn):
    d = pick(2, 7)
    return ops.rms_norm, [randn(pick(2, 3), pick(1, 4), d), randn(d)]


def resize_nearest(pick, randn):
    height, width = pick(1, 9), pick(1, 9)
    return lambda x: ops.resize_nearest(x, height, width), [_image(pick, randn, pick(1, 3))]


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
    d, causal, bias = heads * pick(1, 3), np.tril(np.ones((n, n), bool)), randn(1, heads, (1, n)[pick(0, 1)], n)
    return (lambda q, k, v, bias: ops.sliced_attention(q, k, v, heads, causal, None, bias, rows)), \
        [randn(b, n, d) for _ in range(3)] + [bias]  # fmt: skip


OPS = [*map(_elementwise, (ops.relu, ops.mish, ops.quick_gelu, ops.gelu_tanh)), geglu, rms_norm, resize_nearest,
       fir_downsample, fir_upsample, attention_with_scale_and_bias, sliced_attention]  # fmt: skip

LAYERS = []
