"""A test of the tester: wrong backward passes are planted, and all must be caught; right ones must pass."""

import numpy as np
import pytest

from minidiff import nn, ops
from minidiff.gradcheck import GradientError, check, check_layer, diagnose, numerical_grad
from minidiff.rng import Rng


def randn(*shape, seed=0):
    return Rng(seed).standard_normal(shape, dtype=np.float64)


# ---- ops with a mistake ---------------------------------------------------------------------------------------------------


def group_norm(x, gamma, beta, mistake=None, groups=2, eps=1e-5):
    """Group norm written out once more, with a mistake on request."""
    B, C = x.shape[0], x.shape[-1]
    grouped = x.reshape(B, -1, groups, C // groups)
    mean = grouped.mean(axis=(1, 3), keepdims=True)
    rstd = 1 / np.sqrt(grouped.var(axis=(1, 3), keepdims=True) + eps)
    xhat = ((grouped - mean) * rstd).reshape(x.shape)

    def back(dy):
        dxhat = (dy * gamma).reshape(grouped.shape)
        h = xhat.reshape(grouped.shape)
        through_mean = dxhat.mean(axis=(1, 3), keepdims=True)
        through_variance = h * (dxhat * h).mean(axis=(1, 3), keepdims=True)
        if mistake == "no mean term":
            through_mean = 0
        if mistake == "no variance term":
            through_variance = 0
        if mistake == "variance term's sign":
            through_variance = -through_variance
        if mistake == "gamma forgotten":
            dxhat = dy.reshape(grouped.shape)
            through_mean = dxhat.mean(axis=(1, 3), keepdims=True)
            through_variance = h * (dxhat * h).mean(axis=(1, 3), keepdims=True)
        dx = (rstd * (dxhat - through_mean - through_variance)).reshape(x.shape)
        if mistake == "rstd forgotten":
            dx = (dxhat - through_mean - through_variance).reshape(x.shape)
        axes = tuple(range(x.ndim - 1))
        dgamma = (dy * (x if mistake == "x for xhat in dgamma" else xhat)).sum(axis=axes)
        dbeta = dy.mean(axis=axes) if mistake == "mean for sum in dbeta" else dy.sum(axis=axes)
        return dx, dgamma, dbeta

    return xhat * gamma + beta, back


def softmax(x, mistake=None):
    e = np.exp(x - x.max(-1, keepdims=True))
    y = e / e.sum(-1, keepdims=True)

    def back(dy):
        if mistake == "diagonal only":
            return y * (1 - y) * dy
        if mistake == "sum not weighted":
            return y * (dy - dy.sum(-1, keepdims=True))
        return y * (dy - (dy * y).sum(-1, keepdims=True))

    return y, back


def attention(q, k, v, mistake=None):
    scale = 1 / np.sqrt(q.shape[-1])
    weights, back_softmax = softmax(q @ k.swapaxes(1, 2) * scale)

    def back(dy):
        dscores = back_softmax(dy @ v.swapaxes(1, 2)) * (1 / q.shape[-1] if mistake == "1/d for 1/sqrt(d)" else scale)
        dk = dscores @ q if mistake == "scores not transposed" else dscores.swapaxes(1, 2) @ q
        return dscores @ k, dk, weights.swapaxes(1, 2) @ dy

    return weights @ v, back


def linear(x, w, b, mistake=None):
    def back(dy):
        db = {"one row of the batch": dy[0], "batch mean": dy.mean(axis=0)}.get(mistake, dy.sum(axis=0))
        dx = dy @ (w if mistake == "w not transposed" else w.T)
        return (-dx if mistake == "sign" else dx), x.T @ dy, db

    return x @ w + b, back


def sinusoid(x, mistake=None):
    """An embedding of a real number, so that swapped sine and cosine have a gradient to be wrong in."""

    def back(dy):
        ds, dc = np.split(dy, 2, axis=-1)
        return ds * -np.sin(x) + dc * np.cos(x) if mistake == "sine and cosine swapped" else ds * np.cos(x) - dc * np.sin(x)

    return np.concatenate([np.sin(x), np.cos(x)], axis=-1), back


def conv(x, w, mistake=None):
    y, back_right = ops.conv2d(x, w, padding=1)

    def back(dy):
        dx, dw = back_right(dy)
        return dx, dw[::-1, ::-1] if mistake == "kernel flipped" else dw

    return y, back


def twice(x, mistake=None):
    """x used twice: two terms."""

    def back(dy):
        return dy if mistake == "one of two terms" else dy + dy * 2 * x

    return x + x * x, back


NORM = [randn(2, 3, 5, 4), randn(4, seed=1), randn(4, seed=2)]
ROWS = [randn(3, 4), randn(4, 4, seed=1), randn(4, seed=2)]
QKV = [randn(2, 5, 4), randn(2, 5, 4, seed=1), randn(2, 5, 4, seed=2)]
PLANTED = [
    (group_norm, NORM, "no mean term", "missing mean term"),
    (group_norm, NORM, "no variance term", "variance term is missing"),
    (group_norm, NORM, "variance term's sign", "variance term .* wrong sign"),
    (group_norm, NORM, "gamma forgotten", "argument 0"),
    (group_norm, NORM, "rstd forgotten", "argument 0"),
    (group_norm, NORM, "x for xhat in dgamma", "argument 1"),
    (group_norm, NORM, "mean for sum in dbeta", "constant factor|1/"),
    (softmax, [randn(3, 5)], "diagonal only", "argument 0"),
    (softmax, [randn(3, 5)], "sum not weighted", "argument 0"),
    (attention, QKV, "1/d for 1/sqrt(d)", r"1/sqrt\(4\)|1/2"),
    (attention, QKV, "scores not transposed", "argument 1"),
    (linear, ROWS, "one row of the batch", "argument 2"),
    (linear, ROWS, "batch mean", "1/batch"),
    (linear, ROWS, "w not transposed", "argument 0"),
    (linear, ROWS, "sign", "a sign"),
    (sinusoid, [randn(3, 4)], "sine and cosine swapped", "argument 0"),
    (conv, [randn(2, 4, 5, 2), randn(3, 3, 2, 3, seed=1)], "kernel flipped", "flipped kernel"),
    (twice, [randn(3, 4)], "one of two terms", "argument 0"),
]


@pytest.mark.parametrize("op, arrays, mistake, words", PLANTED, ids=[p[2] for p in PLANTED])
def test_planted_mistake_is_caught(op, arrays, mistake, words, count):
    check(op, *arrays)  # without the mistake it passes: it is the mistake that is caught
    with pytest.raises(GradientError, match=words) as caught:
        check(lambda *a: op(*a, mistake=mistake), *arrays)
    assert "worst entry" in str(caught.value) and "usual cause" in str(caught.value)
    count("planted")


def test_dy_of_ones_misses_most_of_the_norm_mistakes():
    """Why dy is random: with dy = 1 the rows of a normalised x sum to a constant, whatever backward says."""
    gamma, beta = np.ones(4), np.zeros(4)  # as every norm layer starts
    dy, x = np.ones_like(NORM[0]), NORM[0]
    true = numerical_grad(lambda x: group_norm(x, gamma, beta), x, dy)
    mistakes = ["no variance term", "variance term's sign", "rstd forgotten", "gamma forgotten"]
    missed = [m for m in mistakes if np.allclose(group_norm(x, gamma, beta, m)[1](dy)[0], true, atol=1e-6)]
    assert len(missed) == len(mistakes)
    y = [randn(3, 5)]
    assert np.allclose(softmax(y[0])[1](np.ones((3, 5))), 0)  # softmax rows sum to 1: nothing to see at all
    for mistake in mistakes[:3]:
        with pytest.raises(GradientError):
            check(lambda *a, m=mistake: group_norm(*a, mistake=m), *NORM)


# ---- layers with a mistake ------------------------------------------------------------------------------------------------


class Assigning(nn.Linear):
    def forward(self, x):
        y, back_op = ops.linear(x, self.weight.value, self.bias.value)

        def back(dy):
            dx, dw, db = back_op(dy)
            self.weight.grad, self.bias.grad = dw, db  # = where += belongs
            return dx

        return y, back


class Stateful(nn.Layer):
    """x * x with the x of the latest call."""

    def forward(self, x):
        self.x = x
        return x * x, lambda dy: 2 * self.x * dy


def test_assigned_gradient_is_caught(count):
    with pytest.raises(GradientError, match="assigned"):
        check_layer(Assigning(3, 4, rng=0), randn(2, 3))
    count("planted")


def test_cache_on_self_is_caught(count):
    with pytest.raises(GradientError, match="outside the closure"):
        check_layer(Stateful(), randn(2, 3))
    count("planted")


def test_back_that_changes_dy_or_x_is_caught(count):
    def scales_dy(x):
        def back(dy):
            dy *= 2
            return dy

        return x * 2, back

    def scales_x(x):
        def back(dy):
            x.__imul__(1.0)
            return 2 * dy

        return x * 2, back

    for f in (scales_dy, scales_x):
        with pytest.raises(GradientError, match="writes into"):
            check(f, randn(2, 3))
        count("planted")


def test_wrong_number_shape_and_dtype_of_gradients_are_caught(count):
    cases = [
        (lambda x, y: (x * y, lambda dy: dy * y), "1 gradients for 2"),
        (lambda x, y: (x * y, lambda dy: (dy * y, (dy * x).sum(axis=0))), "argument 1: its gradient is"),
        (lambda x, y: (x * y, lambda dy: ((dy * y).astype(np.float32), dy * x)), "float32, expected"),
    ]
    for f, words in cases:
        with pytest.raises(GradientError, match=words):
            check(f, randn(2, 3), randn(2, 3, seed=1))
        count("planted")


def test_nan_gradient_is_caught(count):
    with pytest.raises(GradientError, match="NaN"):
        check(lambda x: (x * x, lambda dy: dy * np.nan), randn(2, 3))
    count("planted")


# ---- the tool itself -------------------------------------------------------------------------------------------------------


def test_numerical_grad_of_a_known_function():
    x, dy = randn(3, 2), randn(3, 2, seed=1)
    np.testing.assert_allclose(numerical_grad(np.sin, x, dy), np.cos(x) * dy, atol=1e-9)
    np.testing.assert_allclose(numerical_grad(lambda x: ops.silu(x), x, dy), ops.silu(x)[1](dy), atol=1e-9)


def test_a_gradient_that_is_truly_zero_passes():
    """A bias on all keys shifts every score of a query alike: softmax does not see it."""
    q, k, v = QKV

    def f(bias):
        y, back = ops.attention(q, k + bias, v)
        return y, lambda dy: back(dy)[1].sum(axis=(0, 1))

    check(f, randn(4))


def test_float32_is_refused_with_the_remedy():
    with pytest.raises(TypeError, match=r"float32.*x\.astype"):
        check(ops.silu, np.ones((2, 3), np.float32))


def test_not_a_pair_is_refused():
    with pytest.raises(TypeError, match="y, back = f"):
        check(np.sin, randn(2, 3))


def test_the_layer_is_not_changed():
    layer = nn.Linear(3, 4, rng=0)
    before = layer.weight.value.copy()
    errors = check_layer(layer, randn(2, 3))
    assert set(errors) == {0, "weight", "bias"} and max(errors.values()) < 1e-9
    assert layer.weight.value.dtype == np.float32 and np.array_equal(layer.weight.value, before)
    assert not layer.weight.grad.any()


def test_diagnosis_names_simple_patterns():
    true, x = randn(3, 4), randn(3, 4, seed=1)
    assert "sign" in diagnose(-true, true, x)[0]
    assert "zeros" in diagnose(0 * true, true, x)[0]
    assert "2 or sqrt(4) times" in diagnose(2 * true, true, x)[0]
    assert "mean term" in diagnose(true + randn(3, 1), true, x)[0]
    assert "variance term" in diagnose(true + 0.3 * (x - x.mean(axis=1, keepdims=True)), true, x)[0]
    one = true.copy()
    one[0, 0] += 1
    assert "only 1 of 12" in diagnose(one, true, x)[0]


@pytest.mark.parametrize("factor, right", [(1.0, True), (1.0 + 1e-6, False)])
def test_the_error_of_the_quotient_is_not_blamed_on_backward(factor, right):
    """sin(300 x): a central difference is off by (300 h)^2 / 6 = 1.5e-6 of the slope at h = 1e-5; its derivative is exact."""

    def f(x):
        return np.sin(300 * x), lambda dy: factor * 300 * np.cos(300 * x) * dy

    x = np.linspace(0.1, 0.2, 7)
    if right:
        assert check(f, x, tolerance=1e-7)[0] < 1e-7
    else:
        with pytest.raises(GradientError, match=r"relative error [0-9].*e-07"):
            check(f, x, tolerance=1e-7)
