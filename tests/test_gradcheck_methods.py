"""How `gradcheck` finds the slope: by a complex step where f takes complex numbers, by differences elsewhere."""

import copy
import pickle

import numpy as np
import pytest

from minidiff import gradcheck, nn, ops
from minidiff.diffusion import Schedule
from minidiff.gradcheck import GradientError, check, check_layer
from minidiff.rng import Rng


def randn(*shape, seed=0):
    return Rng(seed).standard_normal(shape, dtype=np.float64)


def square(x, factor=2.0):
    return x * x, lambda dy: factor * x * dy


# ---- which method, and what the error is ----------------------------------------------------------------------------------


def test_an_analytic_function_is_checked_to_rounding():
    error = check(square, randn(4, 5))[0]
    assert error.method == "complex" and error.why == "" and error < 1e-15
    assert check(square, randn(4, 5), method="complex")[0] == error


def test_differences_on_request():
    error = check(square, randn(4, 5), method="difference")[0]
    assert error.method == "difference" and error.why == "asked for" and 1e-15 < error < 1e-9


def test_an_error_is_a_float_and_keeps_its_method_in_copies():
    error = check(square, randn(3))[0]
    assert isinstance(error, float) and f"{error:.0e}" == f"{float(error):.0e}" and repr(error) == repr(float(error))
    for other in (copy.deepcopy(error), pickle.loads(pickle.dumps(error))):
        assert (other, other.method, other.why) == (error, "complex", "")


def test_an_unknown_method_is_named():
    for call in (lambda: check(square, randn(3), method="complx"), lambda: check_layer(nn.SiLU(), randn(3), method=None)):
        with pytest.raises(ValueError, match=r"method: got .*, expected one of auto, complex, difference"):
            call()


@pytest.mark.parametrize("method, passes", [("difference", True), ("complex", False), ("auto", False)])
def test_a_gradient_wrong_by_a_ten_millionth_passes_a_difference_alone(method, passes):
    """The tolerances are 1e-6 and 1e-12 where none is given."""

    def f(x):
        return square(x, 2.0 * (1 + 1e-8))

    if passes:
        assert check(f, randn(3, 4), method=method)[0] < 1e-6
    else:
        with pytest.raises(GradientError, match=r"above 1e-12(.|\n)*off by 1\.0e-08 of the largest entry, too little for a"):
            check(f, randn(3, 4), method=method)


def test_a_tolerance_is_the_caller_s_for_either_method():
    for method in ("auto", "complex"):
        assert check(lambda x: square(x, 2.0 * (1 + 1e-8)), randn(3), method=method, tolerance=1e-7)[0].method == "complex"


# ---- functions that do not take complex numbers ----------------------------------------------------------------------------


def real_answer(x):
    return np.hypot(x.real, 0.0), lambda dy: dy * np.sign(x)  # |x|, and the imaginary part is gone


def casts(x):
    return np.asarray(x, np.float64) * 2 if x.dtype.kind != "c" else x.astype(np.float64) * 2, lambda dy: 2 * dy


def fills(x):
    y = np.empty(x.shape)
    y[...] = 3 * x
    return y, lambda dy: 3 * dy


def raises(x):
    return np.arctan2(x, 1.0), lambda dy: dy / (1 + x * x)


def asks(x):
    if x.dtype != np.float64:
        raise ValueError(f"x: got {x.dtype}, expected float64")
    return square(x)


def number(x):
    return float((x * x).sum()), lambda dy: 2 * x * dy


def uses_back(x):
    y, back = nn.Linear(3, 3, rng=0).astype(np.float64)(x)
    back(np.ones_like(y))
    return y * y, lambda dy: back(2 * y * dy)


@pytest.mark.parametrize(
    "f, why",
    [
        (real_answer, "its y is float64 for complex arguments"),
        (casts, "casts complex numbers to real ones"),
        (fills, "casts complex numbers to real ones"),
        (raises, "arctan2"),
        (asks, "ValueError: x: got complex128, expected float64"),
        (number, "TypeError"),
        (uses_back, "there is nothing to go back through"),
    ],
    ids=lambda thing: getattr(thing, "__name__", "why"),
)
def test_a_function_that_takes_no_complex_numbers_is_checked_by_differences(f, why):
    x = randn(4, 3)
    error = check(f, x)[0]
    assert error.method == "difference" and why in error.why and error < 1e-8
    with pytest.raises(Exception):  # noqa: B017  (whatever f raised)
        check(f, x, method="complex")


@pytest.mark.parametrize("f", [real_answer, casts, fills, raises, asks, number])
def test_a_wrong_gradient_of_such_a_function_is_still_found(f):
    def wrong(x):
        y, back = f(x)
        return y, lambda dy: 1.01 * back(dy)

    with pytest.raises(GradientError, match=r"a constant factor of 1\.01"):
        check(wrong, randn(4, 3))


def x_abs_x(x):
    return x * abs(x), lambda dy: 2 * abs(x) * dy


def variance(x):
    centred = x - x.mean(axis=1, keepdims=True)
    return (
        centred * x.var(axis=1, keepdims=True),
        lambda dy: (
            (dy - dy.mean(axis=1, keepdims=True)) * x.var(axis=1, keepdims=True)
            + 2 * centred / x.shape[1] * (dy * centred).sum(axis=1, keepdims=True)
        ),
    )


def squared_norm(x):
    return (x * x.conj()).sum(axis=1) * x[
        :, 0
    ], lambda dy: 2 * x * (dy * x[:, 0])[:, None] + np.eye(x.shape[1])[0] * (dy * (x * x).sum(axis=1))[:, None]


@pytest.mark.parametrize("f", [x_abs_x, variance, squared_norm], ids=lambda f: f.__name__)
def test_a_function_that_is_not_analytic_is_not_reported_as_wrong(f):
    """abs, var and conj take complex numbers and give a complex answer with a wrong slope: a difference tells."""
    error = check(f, randn(4, 3))[0]
    assert error.method == "difference" and error.why.startswith("not analytic") and error < 1e-8
    with pytest.raises(GradientError):
        check(f, randn(4, 3), method="complex")


def test_a_backward_with_the_same_hole_as_the_complex_step_does_not_pass():
    with pytest.raises(GradientError):
        check(lambda x: (x * abs(x), lambda dy: abs(x) * dy), randn(4, 3))  # the slope with abs(x) held constant


def test_a_small_part_that_is_not_analytic_is_found_at_its_argument():
    def f(x, z):
        return x + 1e-7 * z * abs(z), lambda dy: (dy, 2e-7 * abs(z) * dy)

    errors = check(f, 1 + abs(randn(4)), randn(4, seed=1), tolerance=1e-9)
    assert [e.method for e in errors.values()] == ["complex", "difference"] and max(errors.values()) < 1e-6


def test_beside_a_kink_the_complex_step_sees_one_side():
    x = randn(4, 5)
    x[1, 2] = 1e-7  # a difference of step 1e-5 reaches over it
    assert check(ops.relu, x, method="complex")[0] < 1e-15
    with pytest.raises(GradientError, match="a kink within 1e-05 of x"):
        check(ops.relu, x)


# ---- layers ---------------------------------------------------------------------------------------------------------------


def test_every_param_has_its_error_and_its_method():
    errors = check_layer(nn.Attention(4, 2, bias=True, rng=0), randn(2, 3, 4))
    assert {e.method for e in errors.values()} == {"complex"} and max(errors.values()) < 1e-14
    assert len(errors) == 9
    by_difference = check_layer(nn.Attention(4, 2, bias=True, rng=0), randn(2, 3, 4), method="difference")
    assert by_difference.keys() == errors.keys() and {e.method for e in by_difference.values()} == {"difference"}
    assert max(by_difference.values()) > 100 * max(errors.values())


def test_a_param_without_entries_has_no_error():
    class Empty(nn.Linear):
        def __init__(self):
            super().__init__(3, 4, rng=0)
            self.unused = nn.Param(np.zeros((0, 2), np.float32))

    assert check_layer(Empty(), randn(2, 3))["unused"] == 0


def test_a_user_s_layer_that_takes_no_complex_numbers_works_unchanged():
    class Filled(nn.Layer):
        def __init__(self):
            self.weight = nn.Param(randn(3))

        def forward(self, x):
            w, y = self.weight, np.zeros(x.shape)
            y += x * w.value

            def back(dy):
                w.grad += (dy * x).sum(axis=0)
                return dy * w.value

            return y, back

    errors = check_layer(Filled(), randn(4, 3))
    assert {name: e.method for name, e in errors.items()} == {0: "difference", "weight": "difference"}
    assert max(errors.values()) < 1e-8 and "complex" in errors["weight"].why.lower()


def test_a_user_s_layer_of_numpy_s_functions_takes_the_complex_step_unchanged():
    class Faded(nn.Layer):
        """y = alpha(t) tanh(x w), and whatever else the layer owns is copied with it."""

        def __init__(self):
            self.weight, self.schedule = nn.Param(randn(3, 2)), Schedule.linear(10)

        def forward(self, x, t):
            w, alpha = self.weight, self.schedule.alpha(t)[:, None]
            h = np.tanh(x @ w.value)

            def back(dy):
                dz = dy * alpha * (1 - h * h)
                w.grad += x.T @ dz
                return dz @ w.value.T

            return alpha * h, back

    layer, t = Faded(), np.array([0, 3, 5, 9])
    layer(randn(4, 3), t)
    errors = check_layer(layer, randn(4, 3), t)
    assert {name: e.method for name, e in errors.items()} == {0: "complex", "weight": "complex"}
    assert max(errors.values()) < 1e-14 and layer.weight.value.dtype == np.float64


def test_a_parameter_wrong_by_a_millionth_of_a_percent_is_found_by_name():
    class Slightly(nn.Linear):
        def forward(self, x):
            y, back_right = super().forward(x)

            def back(dy):
                self.bias.grad += 1e-8 * dy.sum(axis=0)
                return back_right(dy)

            return y, back

    with pytest.raises(GradientError, match=r"bias \(4,\): relative error [0-9.]+e-09"):
        check_layer(Slightly(3, 4, rng=0), randn(2, 3))
    check_layer(Slightly(3, 4, rng=0), randn(2, 3), method="difference")


def test_the_slope_is_the_plain_reference_s_and_the_gradient_the_running_version_s(monkeypatch):
    """A fast forward that is off is no excuse for a backward that fits it: the reference tells."""
    from minidiff import cpu

    def off(x):
        return x * x * 1.5, lambda dy: 3.0 * x * dy

    check(ops.silu, randn(64, 64))
    monkeypatch.setattr(cpu, "silu", off)
    ops.silu.fast.cache_clear()
    try:
        check(off, randn(3))  # it fits itself
        with pytest.raises(GradientError):
            check(ops.silu, randn(64, 64), method="complex")
    finally:
        monkeypatch.undo()
        ops.silu.fast.cache_clear()
    assert ops.silu.fast("cpu") is cpu.silu


# ---- diagnosis ------------------------------------------------------------------------------------------------------------


def test_a_tiny_error_is_no_missing_term():
    true, x = randn(3, 4), randn(3, 4, seed=1)
    for wrong in (true * (1 + 1e-9), true + 1e-10 * randn(3, 4, seed=2)):
        (sentence,) = gradcheck.diagnose(wrong, true, x)
        assert "too little for a missing term" in sentence and "float32" in sentence
    assert "a constant factor" in gradcheck.diagnose(true * 1.0001, true, x)[0]
