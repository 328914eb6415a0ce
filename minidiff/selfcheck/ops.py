"""A gradient case for every op."""

import numpy as np

from .. import ops
from ..backend import xp_of
from ..rng import Rng
from .inputs import classes, image


def linear(pick, randn):
    i, o = pick(1, 5), pick(1, 5)
    return ops.linear, [randn(pick(2, 4), pick(1, 3), i), randn(i, o), randn(o)]


def linear_without_bias(pick, randn):
    i, o = pick(1, 5), pick(1, 5)
    return ops.linear, [randn(pick(2, 4), i), randn(i, o)]


def conv2d(pick, randn):
    c, o, stride, padding = pick(1, 4), pick(1, 4), pick(1, 3), pick(0, 2)
    x, w = image(pick, randn, c), randn(2 * pick(0, 1) + 1, 2 * pick(0, 1) + 1, c, o)
    return lambda x, w, b: ops.conv2d(x, w, b, stride, padding), [x, w, randn(o)]


def conv2d_5x5_one_sided_padding(pick, randn):
    c, o = pick(1, 3), pick(1, 3)
    pads = ((pick(1, 2), pick(1, 2)), (pick(1, 3), pick(1, 2)))
    return lambda x, w: ops.conv2d(x, w, None, 1, pads), [image(pick, randn, c), randn(5, 5, c, o)]


def group_norm(pick, randn):
    groups = pick(1, 3)
    c = groups * pick(1, 3)
    return lambda x, g, b: ops.group_norm(x, g, b, groups), [image(pick, randn, c), randn(c), randn(c)]


def group_norm_silu(pick, randn):
    groups = pick(1, 3)
    c = groups * pick(1, 3)
    return lambda x, g, b: ops.group_norm_silu(x, g, b, groups), [image(pick, randn, c), randn(c), randn(c)]


def group_norm_silu_with_temb(pick, randn):
    groups = pick(1, 3)
    c = groups * pick(2, 3)
    x = image(pick, randn, c)
    return lambda x, g, b, temb: ops.group_norm_silu(x, g, b, groups, temb=temb), [x, randn(c), randn(c), randn(len(x), c)]


def layer_norm(pick, randn):
    d = pick(2, 7)
    return ops.layer_norm, [randn(pick(2, 3), pick(1, 4), d), randn(d), randn(d)]


def silu(pick, randn):
    return ops.silu, [randn(pick(2, 4), pick(1, 6)) * 3]


def gelu(pick, randn):
    return ops.gelu, [randn(pick(2, 4), pick(1, 6)) * 2]


def softmax(pick, randn):
    return ops.softmax, [randn(pick(2, 4), pick(2, 6)) * 2]


def attention(pick, randn):
    heads, b, n, m = pick(1, 3), pick(2, 3), pick(1, 5), pick(1, 6)
    d, e = heads * pick(1, 4), heads * pick(1, 3)
    return lambda q, k, v: ops.attention(q, k, v, heads), [randn(b, n, d), randn(b, m, d), randn(b, m, e)]


def attention_with_mask(pick, randn):
    heads, b, n = pick(1, 2), pick(2, 3), pick(2, 6)
    d, causal = heads * pick(1, 3), np.tril(np.ones((n, n), bool))
    q, k, v = (randn(b, n, d) for _ in range(3))
    causal = xp_of(q).asarray(causal)
    return lambda q, k, v: ops.attention(q, k, v, heads, causal), [q, k, v]


def embedding(pick, randn):
    rows = pick(2, 5)
    index = classes(pick(2, 7), rows).reshape(-1, 1)
    table = randn(rows, pick(1, 4))
    index = xp_of(table).asarray(index)
    return lambda table: ops.embedding(table, index), [table]


def upsample_nearest(pick, randn):
    factor = pick(1, 3)
    return lambda x: ops.upsample_nearest(x, factor), [image(pick, randn, pick(1, 3))]


def avg_pool(pick, randn):
    size = pick(1, 3)
    return lambda x: ops.avg_pool(x, size), [image(pick, randn, pick(1, 3))]


def concat(pick, randn):
    b, n = pick(2, 3), pick(1, 4)
    return lambda *xs: ops.concat(xs), [randn(b, n, pick(1, 4)) for _ in range(pick(2, 3))]


def dropout(pick, randn):
    p = pick(0, 9) / 10
    x = randn(pick(2, 4), pick(2, 6))
    return lambda x: ops.dropout(x, p, Rng(3, xp=xp_of(x))), [x]


def mse(pick, randn):
    shape = (pick(2, 4), pick(1, 5))
    return ops.mse, [randn(*shape), randn(*shape)]


def cross_entropy(pick, randn):
    n, k = pick(2, 5), pick(2, 5)
    logits = randn(n, k) * 2
    labels = xp_of(logits).asarray(classes(n, k))
    return lambda logits: ops.cross_entropy(logits, labels), [logits]


def _elementwise(op):
    def case(pick, randn):
        x = randn(pick(2, 4), pick(1, 6)) * 2
        return op, [x + 0.01 * xp_of(x).sign(x)]  # relu has a corner at 0: keep away from it

    case.__name__ = op.__name__
    return case


def geglu(pick, randn):
    return ops.geglu, [randn(pick(2, 3), pick(1, 4), 2 * pick(1, 4))]


def modulate(pick, randn):
    b, d = pick(2, 3), pick(2, 7)
    return ops.modulate, [randn(b, pick(1, 4), d), randn(b, d), randn(b, d)]


def gated_add(pick, randn):
    b, n, d = pick(2, 3), pick(1, 4), pick(1, 5)
    return ops.gated_add, [randn(b, n, d), randn(b, n, d), randn(b, d)]


def rms_norm(pick, randn):
    d = pick(2, 7)
    return ops.rms_norm, [randn(pick(2, 3), pick(1, 4), d), randn(d)]


def resize_nearest(pick, randn):
    height, width = pick(1, 9), pick(1, 9)
    return lambda x: ops.resize_nearest(x, height, width), [image(pick, randn, pick(1, 3))]


def space_to_depth(pick, randn):
    size = pick(1, 3)
    return lambda x: ops.space_to_depth(x, size), [randn(pick(2, 3), size * pick(1, 3), size * pick(1, 3), pick(1, 3))]


def depth_to_space(pick, randn):
    size = pick(1, 3)
    return lambda x: ops.depth_to_space(x, size), [randn(pick(2, 3), pick(1, 3), pick(1, 3), size**2 * pick(1, 3))]


def fir_downsample(pick, randn):
    edge = ("zero", "reflect")[pick(0, 1)]
    return lambda x: ops.fir_downsample(x, edge), [image(pick, randn, pick(1, 3))]


def fir_upsample(pick, randn):
    edge = ("zero", "reflect")[pick(0, 1)]
    return lambda x: ops.fir_upsample(x, edge), [image(pick, randn, pick(1, 3))]


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


OPS = [linear, linear_without_bias, conv2d, conv2d_5x5_one_sided_padding, group_norm, group_norm_silu,
       group_norm_silu_with_temb, layer_norm, silu, gelu, softmax, attention, attention_with_mask, embedding, upsample_nearest,
       avg_pool, concat, dropout, mse, cross_entropy,
       *map(_elementwise, (ops.relu, ops.mish, ops.quick_gelu, ops.gelu_tanh)), geglu, rms_norm, modulate, gated_add,
       resize_nearest, space_to_depth, depth_to_space, fir_downsample, fir_upsample, attention_with_scale_and_bias,
       sliced_attention]  # fmt: skip
