"""Every op and every layer, each with a random case to check its gradients on: what `minidiff gradcheck` prints.

A case is a function of (pick, randn): `pick(low, high)` chooses a size, both ends included, and `randn(*shape)` draws a
float64 array. It returns (f, arrays) for `gradcheck.check`, or (layer, arrays) for `gradcheck.check_layer`.
The tests call the same cases with sizes that hypothesis picks.
"""

import numpy as np

from . import models, nn, ops, selfcheck_more
from .backend import xp_of
from .gradcheck import check, check_layer
from .nn import Layer
from .rng import Rng


def _image(pick, randn, channels):
    """(B, H, W, channels) with B >= 2 and H, W odd or even, mostly different."""
    return randn(pick(2, 3), pick(3, 7), pick(3, 8), channels)


def _classes(n, rows):
    return np.arange(n) * 7 % rows  # some twice


# ---- ops -----------------------------------------------------------------------------------------------------------------


def linear(pick, randn):
    i, o = pick(1, 5), pick(1, 5)
    return ops.linear, [randn(pick(2, 4), pick(1, 3), i), randn(i, o), randn(o)]


def linear_without_bias(pick, randn):
    i, o = pick(1, 5), pick(1, 5)
    return ops.linear, [randn(pick(2, 4), i), randn(i, o)]


def conv2d(pick, randn):
    c, o, stride, padding = pick(1, 4), pick(1, 4), pick(1, 3), pick(0, 2)
    x, w = _image(pick, randn, c), randn(2 * pick(0, 1) + 1, 2 * pick(0, 1) + 1, c, o)
    return lambda x, w, b: ops.conv2d(x, w, b, stride, padding), [x, w, randn(o)]


def conv2d_5x5_one_sided_padding(pick, randn):
    c, o = pick(1, 3), pick(1, 3)
    pads = ((pick(1, 2), pick(1, 2)), (pick(1, 3), pick(1, 2)))
    return lambda x, w: ops.conv2d(x, w, None, 1, pads), [_image(pick, randn, c), randn(5, 5, c, o)]


def group_norm(pick, randn):
    groups = pick(1, 3)
    c = groups * pick(1, 3)
    return lambda x, g, b: ops.group_norm(x, g, b, groups), [_image(pick, randn, c), randn(c), randn(c)]


def group_norm_silu(pick, randn):
    groups = pick(1, 3)
    c = groups * pick(1, 3)
    return lambda x, g, b: ops.group_norm_silu(x, g, b, groups), [_image(pick, randn, c), randn(c), randn(c)]


def group_norm_silu_with_temb(pick, randn):
    groups = pick(1, 3)
    c = groups * pick(2, 3)
    x = _image(pick, randn, c)
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
    index = _classes(pick(2, 7), rows).reshape(-1, 1)
    table = randn(rows, pick(1, 4))
    index = xp_of(table).asarray(index)
    return lambda table: ops.embedding(table, index), [table]


def upsample_nearest(pick, randn):
    factor = pick(1, 3)
    return lambda x: ops.upsample_nearest(x, factor), [_image(pick, randn, pick(1, 3))]


def avg_pool(pick, randn):
    size = pick(1, 3)
    return lambda x: ops.avg_pool(x, size), [_image(pick, randn, pick(1, 3))]


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
    labels = xp_of(logits).asarray(_classes(n, k))
    return lambda logits: ops.cross_entropy(logits, labels), [logits]


OPS = [linear, linear_without_bias, conv2d, conv2d_5x5_one_sided_padding, group_norm, group_norm_silu,
       group_norm_silu_with_temb, layer_norm,
       silu, gelu, softmax, attention, attention_with_mask, embedding, upsample_nearest, avg_pool, concat, dropout, mse,
       cross_entropy, *selfcheck_more.OPS]  # fmt: skip


# ---- layers and blocks ---------------------------------------------------------------------------------------------------


def Linear(pick, randn):
    i = pick(1, 5)
    return nn.Linear(i, pick(1, 5), rng=1), [randn(pick(2, 3), pick(1, 3), i)]


def Conv2d(pick, randn):
    c = pick(1, 3)
    return nn.Conv2d(c, pick(1, 3), 3, pick(1, 2), 1, rng=1), [_image(pick, randn, c)]


def GroupNorm(pick, randn):
    groups = pick(1, 3)
    return _jitter(nn.GroupNorm(groups, 2 * groups), randn), [_image(pick, randn, 2 * groups)]


def LayerNorm(pick, randn):
    d = pick(2, 6)
    return _jitter(nn.LayerNorm(d), randn), [randn(pick(2, 3), pick(1, 3), d)]


def Embedding(pick, randn):
    rows = pick(2, 5)
    return nn.Embedding(rows, pick(1, 4), rng=1), [_classes(pick(2, 6), rows)]


def Attention(pick, randn):
    heads, b = pick(1, 3), pick(2, 3)
    d, e = heads * pick(1, 3), pick(1, 4)
    layer = nn.Attention(d, heads, context_features=e, bias=True, rng=1)
    return layer, [randn(b, pick(1, 5), d), randn(b, pick(1, 4), e)]


def SpatialAttention(pick, randn):
    heads = pick(1, 2)
    return _jitter(nn.SpatialAttention(2 * heads, heads, groups=heads, rng=1), randn), [_image(pick, randn, 2 * heads)]


def ResnetBlock2D(pick, randn):
    c, o, d = 2 * pick(1, 2), 2 * pick(1, 2), pick(1, 4)
    block = models.unet_blocks.ResnetBlock2D(c, o, d, groups=2, scale_shift=bool(pick(0, 1)), rescale=1.5, rng=1)
    x = _image(pick, randn, c)
    return _jitter(block, randn), [x, randn(x.shape[0], d)]


def Downsample2D(pick, randn):
    return models.unet_blocks.Downsample2D(2, padding=pick(0, 1), rng=1), [_image(pick, randn, 2)]


def Upsample2D(pick, randn):
    return models.unet_blocks.Upsample2D(2, rng=1), [_image(pick, randn, 2)]


def TimestepEmbedding(pick, randn):
    i = pick(1, 4)
    return models.conditioning.TimestepEmbedding(i, pick(1, 4), rng=1), [randn(pick(2, 4), i)]


def Classifier(pick, randn):
    net = models.Classifier((pick(4, 7), pick(4, 6), pick(1, 2)), classes=3, width=2, features=4, rng=1)
    return net, [randn(2, *net.shape)]


def MLP(pick, randn):
    d, b = pick(1, 4), pick(2, 4)
    net = models.MLP(d, width=6, depth=pick(1, 2), num_class_embeds=3, null_class=2, rng=1)
    return net, [randn(b, d), np.arange(b) * 100, _classes(b, 3)]


def UNet(pick, randn):
    b, heads = 2, pick(1, 2)
    net = models.UNet(in_channels=2, out_channels=pick(1, 3), block_out_channels=(4, 8), layers_per_block=1,
                      attention_head_dim=4 // heads, norm_num_groups=2, num_class_embeds=3, downsample_padding=pick(0, 1),
                      resnet_time_scale_shift=("default", "scale_shift")[pick(0, 1)], rng=1)  # fmt: skip
    x = randn(b, 2 * pick(1, 2) + 1, pick(3, 4), 2)
    return net, [x, np.array([3, 981]), _classes(b, 3)]


LAYERS = [Linear, Conv2d, GroupNorm, LayerNorm, Embedding, Attention, SpatialAttention, ResnetBlock2D, Downsample2D,
          Upsample2D, TimestepEmbedding, Classifier, MLP, UNet, *selfcheck_more.LAYERS]  # fmt: skip


def _jitter(layer, randn):
    """Move the norms' weights off 1 and 0, where a forgotten factor would not show."""
    for param in layer.parameters().values():
        param.value = param.value + 0.3 * randn(*param.shape)
    return layer


# ---- running them --------------------------------------------------------------------------------------------------------


def run(case, pick, randn, tolerance=1e-6):
    """Check one case.   -> (largest relative error, how many gradients were checked)"""
    f, arrays = case(pick, randn)
    errors = (check_layer if isinstance(f, Layer) else check)(f, *arrays, tolerance=tolerance)
    return max(errors.values()), len(errors)


def run_seed(case, seed, tolerance=1e-6):
    """Check one case on sizes and numbers from a seed."""
    rng = Rng(seed)
    return run(
        case, lambda low, high: int(rng.integers(low, high + 1)), lambda *s: rng.standard_normal(s, np.float64), tolerance
    )


def table(seeds=3, tolerance=1e-6):
    """Every op and layer on `seeds` random cases.   yields (kind, name, largest error or the failure, gradients checked)"""
    for kind, cases in (("op", OPS), ("layer", LAYERS)):
        for case in cases:
            worst, checked = 0.0, 0
            try:
                for seed in range(seeds):
                    error, n = run_seed(case, seed, tolerance)
                    worst, checked = max(worst, error), checked + n
            except AssertionError as failure:
                yield kind, case.__name__, failure, checked
            else:
                yield kind, case.__name__, worst, checked
