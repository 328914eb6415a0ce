"""The ops of imported nets, against torch's stored values or a plain loop. Their gradients: test_gradients.py."""

import numpy as np
import pytest

from minidiff import ops
from minidiff.ops.named import activation
from minidiff.rng import Rng

X = np.array([-3.0, -1.0, -0.5, 0.0, 0.5, 1.0, 3.0])


# torch 2.13 in float64: F.relu, F.mish, F.gelu(approximate="tanh"), x sigmoid(1.702 x)
VALUES = {
    "relu": [0, 0, 0, 0, 0.5, 1, 3],
    "mish": [-0.145647461, -0.303401461, -0.220743775, 0, 0.375245211, 0.865098388, 2.986535],
    "gelu_pytorch_tanh": [-0.00363739208, -0.158808009, -0.15428599, 0, 0.34571401, 0.841191991, 2.99636261],
    "quick_gelu": [-0.0180713097, -0.154204234, -0.149611563, 0, 0.350388437, 0.845795766, 2.98192869],
}


@pytest.mark.parametrize(("name", "values"), VALUES.items())
def test_values(name, values):
    np.testing.assert_allclose(activation(name)(X)[0], values, atol=1e-8)


def test_no_activation_overflows():
    with np.errstate(all="raise", under="ignore"):
        for name in ("relu", "mish", "gelu_new", "quick_gelu"):
            y, back = activation(name)(np.array([-1e4, 1e4], np.float32))
            np.testing.assert_allclose(y, [0, 1e4], atol=1e-6)
            np.testing.assert_allclose(back(np.ones(2, np.float32)), [0, 1], atol=1e-6)


def test_an_unknown_activation_gets_the_nearest_name():
    with pytest.raises(ValueError, match="did you mean quick_gelu"):
        activation("quick-gelu")


def test_resize_nearest_takes_the_pixel_at_its_position():
    x = Rng(0).standard_normal((2, 3, 5, 2))
    y, _ = ops.resize_nearest(x, 5, 4)
    for i in range(5):
        for j in range(4):
            np.testing.assert_array_equal(y[:, i, j], x[:, i * 3 // 5, j * 5 // 4])
    np.testing.assert_array_equal(ops.resize_nearest(x, 6, 10)[0], ops.upsample_nearest(x, 2)[0])


def test_resize_nearest_keeps_the_order_in_memory():
    """Fast convolutions and kernels take arrays whose rows lie in order, and only these."""
    y, back = ops.resize_nearest(Rng(0).standard_normal((2, 3, 4, 5)), 7, 6)
    assert y.flags.c_contiguous and back(y).flags.c_contiguous


def test_resize_nearest_as_torch_does():
    torch = pytest.importorskip("torch")
    for n in range(1, 70):
        for size in (2 * n - 1, 2 * n, 2 * n + 1):
            x = np.arange(n, dtype=np.float32).reshape(1, n, 1, 1)
            theirs = torch.nn.functional.interpolate(torch.tensor(x.transpose(0, 3, 1, 2)), size=(size, 1), mode="nearest")
            np.testing.assert_array_equal(ops.resize_nearest(x, size, 1)[0].ravel(), theirs.numpy().ravel())


@pytest.mark.parametrize("edge", ("zero", "reflect"))
@pytest.mark.parametrize("H", (4, 5, 8))
def test_fir_against_the_written_sums(edge, H):
    x = Rng(1).standard_normal((2, H, 3, 2), dtype=np.float64)
    pad = np.pad(x, ((0, 0), (2, 3), (0, 0), (0, 0)), mode="constant" if edge == "zero" else "reflect")
    p = lambda i: pad[:, i + 2]  # noqa: E731
    rows = [(p(2 * n - 1) + 3 * p(2 * n) + 3 * p(2 * n + 1) + p(2 * n + 2)) / 8 for n in range(H // 2)]
    w = np.array([1, 3, 3, 1]) / 8  # the other axis, of width 3, has one output: taps at -1, 0, 1, 2
    q = np.pad(np.stack(rows, 1), ((0, 0), (0, 0), (1, 0), (0, 0)), mode="constant" if edge == "zero" else "reflect")
    np.testing.assert_allclose(ops.fir_downsample(x, edge)[0][:, :, 0], np.tensordot(q, w, ((2,), (0,))), atol=1e-12)
    tall = ops.fir_upsample(x, edge)[0]
    flat = ops.fir_upsample(x.mean(axis=2, keepdims=True).repeat(4, axis=2), "reflect")[0]  # constant along W: W drops out
    if edge == "reflect":
        for n in range(H):
            np.testing.assert_allclose(flat[:, 2 * n, 3], (p(n - 1) + 3 * p(n)).mean(1) / 4, atol=1e-12)
            np.testing.assert_allclose(flat[:, 2 * n + 1, 3], (3 * p(n) + p(n + 1)).mean(1) / 4, atol=1e-12)
    assert tall.shape == (2, 2 * H, 6, 2)


def test_fir_with_zero_edges_is_its_own_transpose():
    x = Rng(2).standard_normal((2, 6, 8, 3), dtype=np.float64)
    _, back = ops.fir_upsample(x)
    dy = Rng(3).standard_normal((2, 12, 16, 3), dtype=np.float64)
    np.testing.assert_allclose(back(dy), 4 * ops.fir_downsample(dy)[0], atol=1e-12)


def test_sliced_attention_is_attention():
    q, k, v = (Rng(i).standard_normal((2, 37, 8), dtype=np.float64) for i in range(3))
    bias, mask = Rng(5).standard_normal((1, 4, 37, 37), dtype=np.float64), np.tril(np.ones((37, 37), bool))
    y, back = ops.attention(q, k, v, 4, mask, 0.3, bias)
    for rows in (1, 10, 37, 100):
        same, back_same = ops.sliced_attention(q, k, v, 4, mask, 0.3, bias, rows)
        np.testing.assert_allclose(same, y, atol=1e-13)
        for a, b in zip(back(v), back_same(v), strict=True):
            np.testing.assert_allclose(a, b, atol=1e-12)


def test_a_constant_added_to_a_row_of_scores_changes_nothing():
    q, k, v = (Rng(i).standard_normal((1, 5, 4), dtype=np.float64) for i in range(3))
    bias = np.zeros((1, 1, 5, 5))
    plain = ops.attention(q, k, v)[0]
    np.testing.assert_allclose(ops.attention(q, k, v, bias=bias + 7)[0], plain, atol=1e-14)
    assert abs(ops.attention(q, k, v, scale=1.0)[0] - plain).max() > 1e-3  # 1/sqrt(4) is not 1
    with pytest.raises(ValueError, match="bias"):
        ops.attention(q, k, v, bias=np.zeros((1, 2, 5, 5)))
