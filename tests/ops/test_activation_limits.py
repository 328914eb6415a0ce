"""Activations at numbers so large that a formula overflows: the right values are the limits in closed form.

silu, gelu, gelu_tanh, quick_gelu, mish and relu go to x with slope 1 on the right and to 0 with slope 0 on the left. In
between they are compared with the same formulas in the standard library's double precision (`math.erf`, `math.tanh`), within
a few units of the dtype's last place. Both the plain reference and the fast version run, in float16, float32 and float64.
"""

import contextlib
import math
import warnings

import numpy as np
import pytest

from minidiff import ops
from minidiff.ops.activation import erf
from minidiff.settings import plain

LARGE = (100.0, 300.0, 1e4, 6e4, 2.0**24, 1e6, 1e30, 1e300, math.inf)
DTYPES = ("float16", "float32", "float64")


def sigmoid(x):
    return 1 / (1 + math.exp(-x)) if x > 0 else math.exp(x) / (1 + math.exp(x))


def gelu_tanh(x):
    return 0.5 * x * (1 + math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


EXACT = {
    "silu": lambda x: x * sigmoid(x),
    "gelu": lambda x: 0.5 * x * math.erfc(-x / math.sqrt(2)),
    "gelu_tanh": gelu_tanh,
    "quick_gelu": lambda x: x * sigmoid(1.702 * x),
    "mish": lambda x: x * math.tanh(math.log1p(math.exp(x))),
    "relu": lambda x: max(x, 0.0),
}
ACTIVATIONS = {name: getattr(ops, name) for name in EXACT}


def rooms():
    return {"fast": contextlib.nullcontext, "plain": plain}


def filled(values, dtype):
    """So many copies that a fast version takes the array."""
    return np.tile(np.array(values, dtype), 5000)


def quietly(f, x):
    """y and the slope; a warning of NumPy's (overflow, invalid value) is an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        y, back = f(x)
        return y, back(np.ones_like(x))


@pytest.mark.parametrize("room", ["fast", "plain"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", EXACT)
def test_far_out_an_activation_is_its_limit(name, dtype, room):
    largest = float(np.finfo(dtype).max)
    large = [x for x in LARGE if x <= largest or x == math.inf] + [largest]
    right, left = filled(large, dtype), filled([-x for x in large], dtype)
    with rooms()[room]():
        y, slope = quietly(ACTIVATIONS[name], right)
        assert y.dtype == slope.dtype == dtype
        assert np.array_equal(y, right)
        assert (slope == 1).all()
        y, slope = quietly(ACTIVATIONS[name], left)
        tail = 1e-40  # mish(-100) is -100 exp(-100), 4e-42
        assert np.abs(y.astype(np.float64)).max() < tail and np.abs(slope.astype(np.float64)).max() < tail


@pytest.mark.parametrize("room", ["fast", "plain"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", EXACT)
def test_between_the_limits_an_activation_is_its_formula(name, dtype, room):
    x = np.array([-70, -63, -20, -12, -8, -5.5, -4.25, -3, -1, -0.125, 0.0625, 1, 2.5, 4.25, 5.5, 8, 12, 20, 63, 70], dtype)
    right = np.array([EXACT[name](float(v)) for v in x])
    h = 1e-5
    slopes = np.array([(EXACT[name](float(v) + h) - EXACT[name](float(v) - h)) / (2 * h) for v in x])
    with rooms()[room]():
        y, slope = quietly(ACTIVATIONS[name], filled(x, dtype))
    eps = float(np.finfo(dtype).eps)
    np.testing.assert_allclose(y[: len(x)], right, rtol=4 * eps, atol=8 * min(eps, 1e-7))
    np.testing.assert_allclose(slope[: len(x)], slopes, rtol=4 * eps, atol=max(8 * min(eps, 1e-7), 1e-9))


@pytest.mark.parametrize("room", ["fast", "plain"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", [*EXACT, "sigmoid", "erf", "geglu"])
def test_nan_stays_nan_and_its_neighbours_stay_right(name, dtype, room):
    """A NaN that an activation swallows hides where a network broke. gelu looks its x up in a table: NaN is no index."""
    x = filled([1.0, math.nan, 2.0, -1.0], dtype)
    f = {"sigmoid": ops.sigmoid, "erf": erf}.get(name)
    f = f or (lambda x: getattr(ops, name)(x)[0])
    with rooms()[room](), np.errstate(invalid="ignore"):
        y, clean = f(x), f(np.where(np.isnan(x), x.dtype.type(0.5), x))
    if name == "geglu":  # pairs: a value and its gate
        assert np.isnan(y).any() and not np.isnan(y).all()
        return
    assert np.array_equal(np.isnan(y), np.isnan(x))
    assert np.array_equal(y[~np.isnan(x)], clean[~np.isnan(x)])


@pytest.mark.parametrize("dtype", DTYPES)
def test_sigmoid_at_its_limits(dtype):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        y = ops.sigmoid(np.array([-math.inf, -6e4, 0, 6e4, math.inf], dtype))
    assert y.dtype == dtype and y.tolist() == [0, 0, 0.5, 1, 1]


@pytest.mark.parametrize("dtype", DTYPES)
def test_softmax_of_numbers_that_differ_by_more_than_the_dtype_holds(dtype):
    """The weights of x and y are 1 and exp(y - x); -inf weighs nothing. Sums of slopes over a row are 0."""
    largest = float(np.finfo(dtype).max)
    x = np.array([[largest, -largest, 0], [largest, largest, -math.inf], [-6e4, -6e4 - 32, -math.inf]], dtype)
    with np.errstate(over="ignore"):
        y, back = ops.softmax(x)
    assert np.array_equal(y[:2], np.array([[1, 0, 0], [0.5, 0.5, 0]], dtype))
    right = np.array([1, math.exp(-32), 0]) / (1 + math.exp(-32))  # -60032 is a float16
    assert np.allclose(
        y[2].astype(np.float64), right, rtol=4 * float(np.finfo(dtype).eps), atol=6e-8 if dtype == "float16" else 0
    )
    dx = back(np.array([[1, 2, 4]] * 3, dtype))
    assert np.array_equal(dx[:2], np.array([[0, 0, 0], [-0.25, 0.25, 0]], dtype))
    many = np.zeros((1, 200_000), dtype)  # as many as float16 cannot count
    assert np.allclose(ops.softmax(many)[0].astype(np.float64).sum(), 1, rtol=0.05)


@pytest.mark.parametrize("dtype", DTYPES)
def test_geglu_at_large_gates_is_the_value_times_the_gate_or_0(dtype):
    a, g = np.array([0.5, 0.5, -2], dtype), np.array([3e4, -6e4, 1e4], dtype)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        y, back = ops.geglu(np.stack([a, g], axis=1))
        dx = back(np.ones((3, 1), dtype))
    assert y[:, 0].tolist() == np.array([1.5e4, 0, -2e4], dtype).tolist()
    assert np.array_equal(dx, np.stack([np.array([3e4, 0, 1e4], dtype), np.array([0.5, 0, -2], dtype)], axis=1))


@pytest.mark.parametrize("room", ["fast", "plain"])
def test_silu_behind_a_norm_has_slope_1_at_large_numbers(room):
    """Behind group norm, y = gamma xhat + beta: with beta = 2^25 every slope of silu is 1, so dbeta is the sum of dy."""
    x, one = np.random.default_rng(0).standard_normal((4, 16, 16, 4), dtype=np.float32), np.ones(4, np.float32)
    with rooms()[room]():
        y, back = ops.group_norm_silu(x, one, np.float32(2.0**25) * one, 2)
        _, _, dbeta = back(np.ones_like(x))
    assert np.allclose(y, 2.0**25) and dbeta.tolist() == [1024.0] * 4
