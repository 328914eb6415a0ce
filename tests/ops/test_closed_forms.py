"""Forward passes against their definition, written out in plain NumPy or Python: no other library is needed for these."""

import itertools
import math

import numpy as np
import pytest

from minidiff import ops
from minidiff.rng import Rng

CLOSE = dict(rtol=1e-12, atol=1e-13)


def randn(*shape, seed=0):
    return Rng(seed, 77).standard_normal(shape, dtype=np.float64)


def test_activations():
    x = np.array([-30.0, -6.5, -3.1, -1.0, -0.51, -1e-3, 0.0, 0.2, 0.75, 2.0, 5.99, 6.01, 40.0])
    sigmoid = np.array([1 / (1 + math.exp(-v)) for v in x])
    np.testing.assert_allclose(ops.sigmoid(x), sigmoid, **CLOSE)
    np.testing.assert_allclose(ops.silu(x)[0], x * sigmoid, **CLOSE)
    np.testing.assert_allclose(ops.gelu(x)[0], [v * math.erfc(-v / math.sqrt(2)) / 2 for v in x], **CLOSE)
    np.testing.assert_allclose(ops.softmax(x)[0], np.exp(x) / np.exp(x).sum(), **CLOSE)


@pytest.mark.parametrize("padding", (0, 1, ((2, 0), (1, 3))))
@pytest.mark.parametrize("stride", (1, 2, 3))
@pytest.mark.parametrize("kernel", ((1, 1), (3, 2)))
def test_conv2d(kernel, stride, padding):
    x, w, b = randn(2, 7, 6, 3), randn(*kernel, 3, 4, seed=1), randn(4, seed=2)
    pads = padding if isinstance(padding, tuple) else ((padding, padding), (padding, padding))
    xpad = np.pad(x, ((0, 0), *pads, (0, 0)))
    OH, OW = ((n - k) // stride + 1 for n, k in zip(xpad.shape[1:3], kernel, strict=True))
    expected = np.empty((2, OH, OW, 4))
    for i, j in itertools.product(range(OH), range(OW)):
        seen = xpad[:, i * stride : i * stride + kernel[0], j * stride : j * stride + kernel[1]]
        expected[:, i, j] = np.einsum("buvc,uvco->bo", seen, w) + b
    for conv2d in (ops.conv2d, ops.conv2d.reference):
        np.testing.assert_allclose(conv2d(x, w, b, stride, padding)[0], expected, **CLOSE)
        np.testing.assert_allclose(conv2d(x, w, None, stride, padding)[0], expected - b, **CLOSE)


def test_norms():
    x, gamma, beta = randn(2, 3, 5, 6), randn(6, seed=1), randn(6, seed=2)
    parts = x.reshape(2, 15, 3, 2)  # three groups of two channels
    mean, var = parts.mean(axis=(1, 3), keepdims=True), parts.var(axis=(1, 3), keepdims=True)
    expected = ((parts - mean) / np.sqrt(var + 0.1)).reshape(x.shape) * gamma + beta
    np.testing.assert_allclose(ops.group_norm(x, gamma, beta, 3, 0.1)[0], expected, **CLOSE)
    np.testing.assert_allclose(ops.group_norm_silu(x, gamma, beta, 3, 0.1)[0], expected / (1 + np.exp(-expected)), **CLOSE)
    mean, var = x.mean(axis=-1, keepdims=True), x.var(axis=-1, keepdims=True)
    np.testing.assert_allclose(ops.layer_norm(x, gamma, beta, 0.1)[0], (x - mean) / np.sqrt(var + 0.1) * gamma + beta, **CLOSE)
    root = np.sqrt((x * x).mean(axis=-1, keepdims=True) + 0.1)
    np.testing.assert_allclose(ops.rms_norm(x, gamma, 0.1)[0], x / root * gamma, **CLOSE)


@pytest.mark.parametrize("norm", ("group_norm", "layer_norm", "rms_norm"))
def test_the_default_eps_of_a_norm(norm):
    """1e-5 in torch's group_norm and layer_norm, 1e-6 in T5's norm: with a variance of eps the result is x / sqrt(2 eps)."""
    eps = 1e-6 if norm == "rms_norm" else 1e-5
    x, one, zero = math.sqrt(eps) * np.array([[-1.0, 1.0]]), np.ones(2), np.zeros(2)
    args = {"group_norm": (one, zero, 1), "layer_norm": (one, zero), "rms_norm": (one,)}[norm]
    np.testing.assert_allclose(getattr(ops, norm)(x, *args)[0], [[-math.sqrt(0.5), math.sqrt(0.5)]], **CLOSE)


def test_attention_one_query_at_a_time():
    heads, q, k, v = 2, randn(2, 3, 6), randn(2, 4, 6, seed=1), randn(2, 4, 10, seed=2)
    bias, mask = randn(1, 2, 3, 4, seed=3), np.array([[1, 0, 0, 1], [1, 1, 1, 1], [0, 1, 0, 0]], bool)
    for scale in (None, 0.7):
        expected = np.empty((2, 3, 10))
        for n, h, i in itertools.product(range(2), range(heads), range(3)):
            keys, values = k[n, :, 3 * h : 3 * h + 3], v[n, :, 5 * h : 5 * h + 5]
            weights = np.exp(keys @ q[n, i, 3 * h : 3 * h + 3] * (scale or 1 / math.sqrt(3)) + bias[0, h, i]) * mask[i]
            expected[n, i, 5 * h : 5 * h + 5] = weights / weights.sum() @ values
        np.testing.assert_allclose(ops.attention(q, k, v, heads, mask, scale, bias)[0], expected, **CLOSE)


@pytest.mark.parametrize("dim", (6, 7))
@pytest.mark.parametrize("scale", (1.0, 1000.0, 0.25))
@pytest.mark.parametrize("flip", (False, True))
def test_timestep_embedding(dim, scale, flip):
    """`scale` multiplies the angle: 1000 turns a time in [0, 1] into a step of a thousand, as in diffusers."""
    t, period = np.array([0.0, 0.3, 2.0]), 500.0
    angle = [[scale * s * period ** (-i / (3 - 0.5)) for i in range(3)] for s in t]
    sin, cos = np.sin(angle), np.cos(angle)
    expected = [cos, sin] if flip else [sin, cos]
    options = dict(max_period=period, flip_sin_to_cos=flip, downscale_freq_shift=0.5, scale=scale, dtype=np.float64)
    np.testing.assert_allclose(
        ops.timestep_embedding(t, dim, **options), np.hstack([*expected, np.zeros((3, dim % 2))]), rtol=1e-10, atol=1e-10
    )


def test_timestep_embedding_has_the_papers_settings_by_default():
    """DDPM's: period 10000, sines first, exponents over dim / 2 - 1, no scale, float32."""
    t = np.array([7])
    emb = ops.timestep_embedding(t, 8)
    angle = 7 * 10000.0 ** (-np.arange(4) / 3)
    np.testing.assert_allclose(emb, [[*np.sin(angle), *np.cos(angle)]], atol=1e-6)
    assert emb.dtype == np.float32
    assert ops.timestep_embedding(t, 2, downscale_freq_shift=0.0).shape == (1, 2)  # the smallest width


@pytest.mark.parametrize(("dim", "shift"), ((0, 0.0), (1, 0.0), (2, 1.0), (4, 2.0)))
def test_timestep_embedding_without_room_for_a_frequency(dim, shift):
    with pytest.raises(ValueError, match=f"dim is {dim}, too small"):
        ops.timestep_embedding(np.array([1]), dim, downscale_freq_shift=shift)


def test_sizes_at_their_bounds():
    """The smallest size is allowed, and one less is not, in either direction."""
    x = randn(1, 2, 3, 1)
    np.testing.assert_array_equal(ops.resize_nearest(x, 1, 1)[0], x[:, :1, :1])
    for height, width in ((0, 1), (1, 0), (-1, 2)):
        with pytest.raises(ValueError, match="expected whole numbers >= 1"):
            ops.resize_nearest(x, height, width)
    np.testing.assert_array_equal(ops.avg_pool(x, 1)[0], x)
    np.testing.assert_allclose(ops.avg_pool(x, 2)[0], x[:, :, :2].mean(axis=(1, 2), keepdims=True), **CLOSE)
    for shape in ((1, 1, 4, 1), (1, 4, 1, 1)):
        with pytest.raises(ValueError, match="smaller than one block"):
            ops.avg_pool(np.zeros(shape), 2)
    np.testing.assert_array_equal(ops.upsample_nearest(x)[0], x.repeat(2, axis=1).repeat(2, axis=2))
    np.testing.assert_array_equal(ops.upsample_nearest(x, 3)[0], x.repeat(3, axis=1).repeat(3, axis=2))
    np.testing.assert_array_equal(ops.avg_pool(ops.upsample_nearest(x)[0])[0], x)
    w = randn(2, 3, 1, 1)  # a kernel of the image's size has one place
    np.testing.assert_allclose(ops.conv2d(x, w)[0].ravel(), (x[0] * w[..., 0]).sum(), **CLOSE)


def test_losses():
    logits, labels = randn(4, 5) * 3, np.array([4, 0, 2, 2])
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    loss, back = ops.cross_entropy(logits, labels)
    np.testing.assert_allclose(loss, -np.mean([math.log(p[i, k]) for i, k in enumerate(labels)]), **CLOSE)
    np.testing.assert_allclose(back(2.0), (p - np.eye(5)[labels]) / 2, **CLOSE)
    np.testing.assert_array_equal(back(), back(1.0))
    loss, back = ops.mse(logits, p)
    np.testing.assert_allclose(loss, sum((a - b) ** 2 for a, b in zip(logits.flat, p.flat, strict=True)) / 20, **CLOSE)
    np.testing.assert_allclose(back()[0], (logits - p) / 10, **CLOSE)
    np.testing.assert_allclose(back(3.0)[1], (p - logits) * 0.3, **CLOSE)


def test_dropout_keeps_where_the_random_number_is_at_least_p():
    x, p = 1 + abs(randn(3, 50)), 0.3
    keep = Rng(5).random(x.shape, dtype=np.float32) >= p
    y, back = ops.dropout(x, p, Rng(5))
    np.testing.assert_allclose(y, np.where(keep, x / 0.7, 0), **CLOSE)
    np.testing.assert_allclose(back(x), y, **CLOSE)
    np.testing.assert_array_equal(ops.dropout(x, 0.0, Rng(5))[0], x)
    with pytest.raises(ValueError, match=r"p is -0\.1"):
        ops.dropout(x, -0.1, Rng(5))


def test_concat_joins_the_last_axis_by_default():
    a, b = randn(2, 3, 4), randn(2, 3, 4, seed=1)
    y, back = ops.concat([a, b])
    np.testing.assert_array_equal(y, np.concatenate([a, b], axis=2))
    np.testing.assert_array_equal(back(y)[1], b)
    y, back = ops.concat([a, b], axis=-2)
    np.testing.assert_array_equal(y, np.concatenate([a, b], axis=1))
    np.testing.assert_array_equal(back(y)[1], b)


def test_patches_stand_in_the_order_rows_columns_channels():
    x = randn(2, 4, 6, 3)
    y, _ = ops.space_to_depth(x)
    assert y.shape == (2, 2, 3, 12)
    for i, j, u, v in itertools.product(range(2), range(3), range(2), range(2)):
        np.testing.assert_array_equal(y[:, i, j].reshape(2, 2, 2, 3)[:, u, v], x[:, 2 * i + u, 2 * j + v])
    np.testing.assert_array_equal(ops.depth_to_space(y)[0], x)
    np.testing.assert_array_equal(ops.depth_to_space(ops.space_to_depth(x, 1)[0], 1)[0], x)


AXES = {  # op, good arguments, the argument to change; it gets one axis more and one fewer
    "conv2d: x": (ops.conv2d, (randn(2, 3, 2, 2), randn(1, 1, 2, 2)), 0),  # of five axes the fourth fits too
    "conv2d: w": (ops.conv2d, (randn(2, 3, 3, 2), randn(1, 1, 2, 2)), 1),
    "linear: w": (ops.linear, (randn(2, 2), randn(2, 2)), 1),
    "attention: q": (ops.attention, (randn(2, 2, 2),) * 3, 0),
    "attention: k": (ops.attention, (randn(2, 2, 2),) * 3, 1),
    "attention: v": (ops.attention, (randn(2, 2, 2),) * 3, 2),
    "embedding: table": (ops.embedding, (randn(3, 2), np.array([1])), 0),
    "timestep_embedding: t": (lambda t: ops.timestep_embedding(t, 8), (np.array([1.0, 2.0]),), 0),
    "upsample_nearest: x": (ops.upsample_nearest, (randn(2, 2, 2, 2),), 0),
    "avg_pool: x": (ops.avg_pool, (randn(2, 2, 2, 2),), 0),
    "resize_nearest: x": (lambda x: ops.resize_nearest(x, 2, 2), (randn(2, 2, 2, 2),), 0),
    "space_to_depth: x": (ops.space_to_depth, (randn(2, 2, 2, 4),), 0),
    "fir_downsample: x": (ops.fir_downsample, (randn(2, 2, 2, 2),), 0),
    "group_norm: gamma": (lambda x, gamma, beta: ops.group_norm(x, gamma, beta, 1), (randn(2, 2), randn(2), randn(2)), 1),
    "layer_norm: beta": (ops.layer_norm, (randn(2, 2), randn(2), randn(2)), 2),
    "cross_entropy: labels": (ops.cross_entropy, (randn(2, 2), np.array([0, 1])), 1),
}


@pytest.mark.parametrize("name", AXES)
def test_an_axis_too_many_or_too_few_is_named(name):
    op, good, place = AXES[name]
    op(*good)
    for wrong in (good[place][None].copy(), good[place][0]):
        with pytest.raises(ValueError, match=f"{name} has shape"):
            op(*good[:place], wrong, *good[place + 1 :])


def qkv(heads):
    return ops.attention(randn(2, 2, 4), randn(2, 2, 4), randn(2, 2, 4), heads)


NUMBERS = {  # a call with the number, those that it takes, those that it does not
    "heads": (qkv, (1, 2, 4), (0, -1, -2, 3, 2.0, None)),
    "stride": (lambda n: ops.conv2d(randn(1, 3, 3, 1), randn(1, 1, 1, 1), None, n), (1, 2, 5), (0, -1, 1.0)),
    "groups": (lambda n: ops.group_norm(randn(2, 4), randn(4), randn(4), n), (1, 2, 4), (0, -2, 3, 2.0)),
    "factor": (lambda n: ops.upsample_nearest(randn(1, 2, 2, 1), n), (1, 3), (0, -1, 2.0)),
    "size": (lambda n: ops.avg_pool(randn(1, 4, 4, 1), n), (1, 2, 4), (0, -1, 2.0)),
    "size of a patch": (lambda n: ops.space_to_depth(randn(1, 4, 4, 1), n), (1, 2, 4), (0, -1, 2.0)),
    "rows": (lambda n: ops.sliced_attention(*[randn(1, 3, 2)] * 3, rows=n), (1, 2, 9), (0, -1)),
}


@pytest.mark.parametrize("name", NUMBERS)
def test_a_number_that_an_op_does_not_take_is_named(name):
    call, good, bad = NUMBERS[name]
    for number in good:
        call(number)
    for number in bad:
        with pytest.raises(ValueError, match=f"{name.split()[0]} is {number}, expected a"):
            call(number)


def test_values_of_a_width_that_heads_does_not_divide():
    with pytest.raises(ValueError, match="heads is 2, expected a divisor of the 4 features of q and 3 of v"):
        ops.attention(randn(2, 2, 4), randn(2, 2, 4), randn(2, 2, 3), 2)
