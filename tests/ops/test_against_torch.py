"""Forward and every gradient, in float32, against torch on random configurations. Skipped where torch is missing."""

import numpy as np
import pytest

from minidiff import ops
from minidiff.rng import Rng

torch = pytest.importorskip("torch")
F = torch.nn.functional


def over_50_seeds(check):
    """check(rng, seed, count) on 200 seeds, in four tests of 50."""

    @pytest.mark.parametrize("block", range(4))
    def test(block, count):
        for seed in range(50 * block, 50 * block + 50):
            check(Rng(seed), seed, count)

    return test


def _randn(rng, *shape):
    return rng.standard_normal(shape, dtype=np.float32)


def _compare(count, f, theirs, arrays):
    """y and all gradients of f(*arrays) against theirs(*tensors), to 1e-5 of the largest entry. A gradient may be a sum of
    terms of dy's size, about 1, that cancel (attention to a single key has none to give): then to 1e-5 of dy."""
    y, back = f(*arrays)
    tensors = [torch.tensor(a, requires_grad=True) for a in arrays]
    expected = theirs(*tensors)
    dy = Rng(99).standard_normal(y.shape, dtype=np.float32)
    expected.backward(torch.tensor(dy))
    grads = back(dy)
    ours = (y, *(grads if isinstance(grads, tuple) else (grads,)))
    for i, (a, b) in enumerate(zip(ours, (expected.detach(), *(t.grad for t in tensors)), strict=True)):
        np.testing.assert_allclose(a, b.numpy(), rtol=0, atol=1e-5 * max(float(b.abs().max()), 0.1 if i == 0 else 1.0))
    count("outside", len(ours))


def _channels_first(f):
    return lambda x, *rest: f(x.permute(0, 3, 1, 2).contiguous(), *rest).permute(0, 2, 3, 1)


@over_50_seeds
def test_conv2d(rng, seed, count):
    k, stride, padding, c, o, b, h, w = (int(rng.integers(lo, hi)) for lo, hi in
        ((0, 3), (1, 4), (0, 3), (1, 9), (1, 9), (1, 4), (5, 12), (5, 13)))  # fmt: skip
    k = 2 * k + 1
    arrays = [_randn(rng, b, h, w, c), _randn(rng, k, k, c, o), _randn(rng, o)]
    _compare(
        count,
        lambda x, w, b: ops.conv2d(x, w, b, stride, padding),
        _channels_first(lambda x, w, b: F.conv2d(x, w.permute(3, 2, 0, 1).contiguous(), b, stride, padding)),
        arrays,
    )


@over_50_seeds
def test_group_norm(rng, seed, count):
    groups, each, b, h, w = (int(rng.integers(1, n)) for n in (5, 5, 4, 9, 9))
    c = groups * each
    h = max(h, 4)  # in a group of two or three numbers dx is the difference of nearly equal terms, here as in torch
    arrays = [_randn(rng, b, h, w, c) * 2 + 1, _randn(rng, c), _randn(rng, c)]
    _compare(
        count,
        lambda x, g, s: ops.group_norm(x, g, s, groups),
        _channels_first(lambda x, g, s: F.group_norm(x, groups, g, s)),
        arrays,
    )


@over_50_seeds
def test_layer_norm(rng, seed, count):
    b, n, d = (int(rng.integers(lo, hi)) for lo, hi in ((1, 4), (1, 7), (6, 40)))
    _compare(
        count,
        ops.layer_norm,
        lambda x, g, s: F.layer_norm(x, (d,), g, s),
        [_randn(rng, b, n, d), _randn(rng, d), _randn(rng, d)],
    )


@over_50_seeds
def test_modulate(rng, seed, count):
    b, n, d = (int(rng.integers(lo, hi)) for lo, hi in ((1, 4), (1, 7), (6, 40)))

    def theirs(x, shift, scale):
        return F.layer_norm(x, (d,), eps=1e-6) * (1 + scale[:, None]) + shift[:, None]

    _compare(count, ops.modulate, theirs, [_randn(rng, b, n, d), _randn(rng, b, d), _randn(rng, b, d)])


@over_50_seeds
def test_gated_add(rng, seed, count):
    b, n, d = (int(rng.integers(lo, hi)) for lo, hi in ((1, 4), (1, 7), (1, 9)))
    arrays = [_randn(rng, b, n, d), _randn(rng, b, n, d), _randn(rng, b, d)]
    _compare(count, ops.gated_add, lambda x, h, gate: x + gate[:, None] * h, arrays)


@over_50_seeds
def test_attention(rng, seed, count):
    heads, dim, b, n, m = (int(rng.integers(lo, hi)) for lo, hi in ((1, 5), (1, 9), (1, 4), (1, 9), (1, 12)))
    masked = seed % 2 == 1
    mask = rng.random((b, heads, n, m)) < 0.7
    mask[..., 0] = True  # every query may look somewhere

    def theirs(q, k, v):
        q, k, v = (z.reshape(b, z.shape[1], heads, dim).transpose(1, 2) for z in (q, k, v))
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=torch.tensor(mask) if masked else None)
        return y.transpose(1, 2).reshape(b, n, heads * dim)

    arrays = [_randn(rng, b, size, heads * dim) for size in (n, m, m)]
    _compare(count, lambda q, k, v: ops.attention(q, k, v, heads, mask if masked else None), theirs, arrays)


@over_50_seeds
def test_embedding(rng, seed, count):
    rows, d, n = (int(rng.integers(lo, hi)) for lo, hi in ((1, 9), (1, 9), (1, 30)))
    index = rng.integers(0, rows, (n, 2))
    _compare(count, lambda t: ops.embedding(t, index), lambda t: F.embedding(torch.tensor(index), t), [_randn(rng, rows, d)])


@over_50_seeds
def test_resampling(rng, seed, count):
    factor, b, h, w, c = (int(rng.integers(lo, hi)) for lo, hi in ((1, 4), (1, 4), (3, 9), (3, 9), (1, 5)))
    x = _randn(rng, b, h, w, c)
    _compare(
        count,
        lambda x: ops.upsample_nearest(x, factor),
        _channels_first(lambda x: F.interpolate(x, scale_factor=factor, mode="nearest")),
        [x],
    )
    _compare(count, lambda x: ops.avg_pool(x, factor), _channels_first(lambda x: F.avg_pool2d(x, factor)), [x])


@pytest.mark.parametrize("name", ["silu", "gelu", "softmax"])
def test_activations(name, count):
    theirs = {"silu": F.silu, "gelu": F.gelu, "softmax": lambda x: F.softmax(x, dim=-1)}[name]
    _compare(count, getattr(ops, name), theirs, [_randn(Rng(1), 40, 50) * 3])
