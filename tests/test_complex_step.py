"""Derivatives by a complex step, against closed forms and against the backward passes; and where they are refused."""

import math
import threading

import numpy as np
import pytest

from minidiff import complex_step, gradcheck, nn, ops, selfcheck
from minidiff.complex_step import jvp
from minidiff.models import MLP, UNet
from minidiff.models.time_features import LearnedTimes
from minidiff.models.vq_model import VectorQuantizer
from minidiff.ops.activation import EDGE, FAR, erf, held
from minidiff.rng import Rng
from minidiff.settings import is_complex_step


def randn(*shape, seed=0):
    return Rng(seed).standard_normal(shape, dtype=np.float64)


def along(f, x, v=None):
    """The derivative of f at x along v (ones)."""
    return jvp(f, [x], [np.ones_like(x) if v is None else v])[1]


# ---- closed forms ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "f, slope",
    [
        (np.sin, np.cos),
        (np.exp, np.exp),
        (np.sqrt, lambda x: 0.5 / np.sqrt(x)),
        (lambda x: x**3, lambda x: 3 * x**2),
        (np.log1p, lambda x: 1 / (1 + x)),
        (np.tanh, lambda x: 1 / np.cosh(x) ** 2),
        (erf, lambda x: 2 / math.sqrt(math.pi) * np.exp(-x * x)),
        (complex_step.absolute, np.sign),
        (lambda x: complex_step.clip(x, 0.5, 2.0), lambda x: (x > 0.5) * (x < 2.0)),
    ],
    ids="sin exp sqrt cube log1p tanh erf absolute clip".split(),
)
def test_the_derivative_of_a_known_function_is_exact_to_rounding(f, slope):
    x, v = np.linspace(0.1, 6.5, 23), randn(23)
    y, dy = gradcheck.jvp(f, [x], [v])
    np.testing.assert_allclose(y, f(x), rtol=1e-15)
    np.testing.assert_allclose(dy, slope(x) * v, rtol=4e-16 * 4, atol=1e-30)


def test_a_difference_is_a_million_times_less_exact():
    x = randn(50)
    by_difference = (np.sin(x + 1e-5) - np.sin(x - 1e-5)) / 2e-5
    assert abs(by_difference - np.cos(x)).max() > 1e-12
    assert abs(along(np.sin, x) - np.cos(x)).max() < 1e-15


def test_a_number_and_a_pair_are_valid_outputs():
    x, v = randn(3, 4), randn(3, 4, seed=1)
    for f in (lambda x: (x * x).sum(), lambda x: ((x * x).sum(), None), lambda x: np.asarray((x * x).sum())):
        y, dy = jvp(f, [x], [v])
        assert y.shape == dy.shape == () and y == pytest.approx((x * x).sum(), rel=1e-15)
        assert dy == pytest.approx(2 * (x * v).sum(), rel=1e-14)


def test_float32_is_exact_to_float32():
    x, v = randn(5, 6).astype(np.float32), randn(5, 6, seed=1).astype(np.float32)
    for op in (ops.silu, ops.gelu, ops.softmax, ops.mish):
        y, dy = jvp(op, [x], [v])
        assert y.dtype == dy.dtype == np.float32
        right = jvp(op, [x.astype(np.float64)], [v.astype(np.float64)])[1]
        np.testing.assert_allclose(dy, right, rtol=2e-5, atol=1e-6)


# ---- where a function has no complex derivative ---------------------------------------------------------------------------


def test_relu_at_0_has_slope_0_on_both_sides_as_its_backward_has():
    x = np.array([-1.0, 0.0, 0.0, 2.0])
    v = np.array([1.0, 1.0, -1.0, 1.0])
    assert jvp(ops.relu, [x], [v])[1].tolist() == [0.0, 0.0, 0.0, 1.0]
    assert ops.relu(x)[1](v).tolist() == [0.0, 0.0, 0.0, 1.0]


def test_mish_is_smooth_at_0_though_its_parts_are_not():
    x = np.array([-1e-9, 0.0, 1e-9])
    np.testing.assert_allclose(along(ops.mish, x), ops.mish(x)[1](np.ones(3)), rtol=1e-15)


def test_maximum_absolute_and_clip_keep_nan_and_do_what_numpy_does_for_real_arrays():
    x = np.array([-3.0, -0.5, 0.0, 0.5, 3.0, np.nan, np.inf, -np.inf])
    for ours, numpys in [
        (lambda z: complex_step.maximum(z, 0.0), lambda z: np.maximum(z, 0.0)),
        (lambda z: complex_step.clip(z, -1.0, 1.0), lambda z: np.clip(z, -1.0, 1.0)),
        (complex_step.absolute, np.abs),
    ]:
        assert np.array_equal(ours(x), numpys(x), equal_nan=True)
        assert np.array_equal(ours(x.astype(complex)).real, numpys(x), equal_nan=True)


def test_absolute_and_clip_have_a_slope_at_their_corners():
    x = np.array([-2.0, -1.0, 0.0, 1.0, 3.0])
    assert along(complex_step.absolute, x).tolist() == [-1, -1, -1, 1, 1]
    assert along(lambda x: complex_step.clip(x, -1.0, 1.0), x).tolist() == [0, 0, 1, 0, 0]
    assert along(lambda x: complex_step.clip(x, None, 1.0), x).tolist() == [1, 1, 1, 0, 0]
    assert along(lambda x: complex_step.clip(x, -1.0, None), x).tolist() == [0, 0, 1, 1, 1]


def test_what_is_held_at_a_bound_moves_with_the_bound():
    x, low = np.array([-1.0, 0.5, 2.0]), np.array([0.0, 0.5, 1.0])
    v, vlow = np.array([10.0, 20.0, 30.0]), np.array([1.0, 2.0, 3.0])
    assert jvp(complex_step.maximum, [x, low], [v, vlow])[1].tolist() == pytest.approx([1.0, 2.0, 30.0], rel=1e-15)
    high = low + 1.0
    slope = jvp(lambda x, high: complex_step.clip(x, None, high), [x, high], [v, vlow])[1]
    assert slope.tolist() == pytest.approx([10.0, 20.0, 3.0], rel=1e-15)


def test_a_comparison_goes_by_the_real_part():
    x, v = np.array([-2.0, -1e-30, 1e-30, 3.0]), np.array([1.0, 5.0, -5.0, -1.0])
    for f in (lambda x: np.where(x > 0, x * x, -x), lambda x: np.where(x.real > 0, x * x, -x)):
        np.testing.assert_allclose(jvp(f, [x], [v])[1], np.where(x > 0, 2 * x * v, -v), rtol=1e-15)


def test_a_tie_of_a_maximum_is_no_derivative_of_softmax():
    x = np.array([[1.0, 1.0, 0.0]])
    v = np.array([[1.0, -2.0, 0.5]])
    y = ops.softmax(x)[0]
    np.testing.assert_allclose(jvp(ops.softmax, [x], [v])[1], y * (v - (y * v).sum()), rtol=1e-15)


def test_erf_takes_an_infinitesimal_imaginary_part():
    x = np.array([-7.0, -0.3, 0.0, 1.2])
    z = erf(x + 1e-100j)
    assert np.array_equal(z.real, erf(x))
    np.testing.assert_allclose(z.imag, 1e-100 * 2 / math.sqrt(math.pi) * np.exp(-x * x), rtol=1e-15)


@pytest.mark.parametrize("op", [ops.silu, ops.gelu, ops.mish, ops.quick_gelu, ops.gelu_tanh], ids=lambda op: op.__name__)
def test_activations_have_the_slope_of_their_backward_at_every_size(op):
    x = np.array([-1e300, -2 * FAR, -FAR, -100.0, -EDGE, -30.0, -1.0, 0.0, 1.0, 30.0, EDGE, 100.0, 1e4])
    np.testing.assert_allclose(along(op, x), op(x)[1](np.ones_like(x)), rtol=1e-14, atol=3e-15)  # slopes are rounded at 1
    assert np.array_equal(along(held, x), abs(x) < EDGE)


def test_dropout_with_a_mask_drawn_again_each_time():
    x, v = randn(4, 5), randn(4, 5, seed=1)
    y, dy = jvp(lambda x: ops.dropout(x, 0.4, Rng(3)), [x], [v])
    keep = ops.dropout(np.ones((4, 5)), 0.4, Rng(3))[0]
    assert np.array_equal(y, x * keep) and np.allclose(dy, v * keep, rtol=1e-15)


@pytest.mark.parametrize("op", [lambda x: ops.upsample_nearest(x, 2), lambda x: ops.resize_nearest(x, 5, 2)])
def test_nearest_indices_carry_the_tangent_along(op):
    x, v = randn(2, 3, 4, 2), randn(2, 3, 4, 2, seed=1)
    np.testing.assert_allclose(jvp(op, [x], [v])[1], op(v)[0], rtol=1e-15)


def test_the_nearest_row_of_a_codebook_moves_with_the_codebook_alone():
    """Which row it is does not change within an infinitesimal step, so nothing comes from z."""
    quantizer = VectorQuantizer(5, 3, rng=0).astype(np.float64)
    z, v, rows = randn(2, 4, 3), randn(2, 4, 3, seed=1), randn(5, 3, seed=2)
    slope = jvp(quantizer, [z], [v], {"embedding.weight": rows})[1]
    np.testing.assert_allclose(slope, rows[quantizer.nearest(z)], rtol=1e-15)
    with pytest.raises(TypeError, match="y does not depend on what moves"):
        jvp(quantizer, [z], [v])


def test_a_constant_shift_leaves_no_trace_in_cross_entropy():
    x, v, labels = randn(3, 4), randn(3, 4, seed=1), np.array([0, 3, 1])
    x[0, :2] = x[0].max() + 1  # a tie of the largest logits
    p = ops.softmax(x)[0]
    right = ((p * v).sum(axis=1) - v[np.arange(3), labels]).mean()
    assert jvp(lambda x: ops.cross_entropy(x, labels), [x], [v])[1] == pytest.approx(right, rel=1e-14)


def test_a_time_in_complex_numbers_looks_up_the_row_of_its_real_part():
    table, t = LearnedTimes(5, 3, rng=0), np.array([1.0, 4.0])
    assert np.array_equal(table.predict(t + 1e-100j, None), table.predict(t, None))


def test_dtypes_derived_from_an_array_are_complex_and_those_of_noise_are_not():
    model = MLP(2, width=6, depth=1, rng=0).astype(np.float64)
    x, v = randn(3, 2), randn(3, 2, seed=1)
    _, back = model(x, np.array([1, 50, 900]))
    dy = randn(3, 2, seed=2)
    assert (dy * jvp(model, [x, np.array([1, 50, 900])], [v, None])[1]).sum() == pytest.approx((back(dy) * v).sum(), rel=1e-14)


# ---- every op, with one argument at a time, the others real ---------------------------------------------------------------


@pytest.mark.parametrize("case", selfcheck.OPS, ids=lambda case: case.__name__)
def test_one_moving_argument_beside_real_ones(case):
    rng = Rng(11)
    f, arrays = case(lambda low, high: int(rng.integers(low, high + 1)), lambda *s: rng.standard_normal(s, np.float64))
    y, back = f(*arrays)
    dy = rng.standard_normal(y.shape, np.float64)
    grads = back(dy)
    for i, grad in enumerate(grads if isinstance(grads, tuple) else (grads,)):
        v = rng.standard_normal(arrays[i].shape, np.float64)
        y2, slope = jvp(f, arrays, [v if j == i else None for j in range(len(arrays))])
        np.testing.assert_allclose(y2, y, rtol=1e-12, atol=1e-13)
        assert (dy * slope).sum() == pytest.approx((grad * v).sum(), rel=1e-12, abs=1e-13)


# ---- layers and models ----------------------------------------------------------------------------------------------------


def test_all_parameters_of_a_unet_move_in_one_pass_and_come_back():
    net = UNet(sample_size=8, in_channels=1, out_channels=1, block_out_channels=(4, 8), layers_per_block=1, norm_num_groups=2,
               attention_head_dim=4, rng=0).astype(np.float64)  # fmt: skip
    x, t, dy = randn(2, 8, 8, 1), np.array([3, 500]), randn(2, 8, 8, 1, seed=1)
    y, back = net(x, t)
    dx = back(dy)
    before, grads = net.state(), {path: p.grad for path, p in net.parameters().items()}
    kept = {path: g.copy() for path, g in grads.items()}
    v = randn(*x.shape, seed=2)
    vs = {path: randn(*p.shape, seed=3) for path, p in net.parameters().items()}
    by_back = (dx * v).sum() + sum((kept[path] * vs[path]).sum() for path in vs)
    y2, slope = jvp(net, [x, t], [v, None], vs)
    np.testing.assert_allclose(y2, y, rtol=1e-12, atol=1e-13)
    assert abs((dy * slope).sum() - by_back) < 1e-12 * abs(by_back)
    for path, param in net.parameters().items():
        assert param.value is before[path] and param.grad is grads[path] and np.array_equal(param.grad, kept[path])


def test_parameters_come_back_after_an_error():
    class Broken(nn.Linear):
        def forward(self, x):
            raise RuntimeError("stop")

    layer = Broken(2, 3, rng=0).astype(np.float64)
    value = layer.weight.value
    with pytest.raises(RuntimeError, match="stop"):
        jvp(layer, [randn(4, 2)], [None], {"weight": np.ones((2, 3))})
    assert layer.weight.value is value and not is_complex_step()


# ---- what is rejected -----------------------------------------------------------------------------------------------------


def test_complex_arrays_are_rejected_outside_of_a_derivative():
    z = randn(2, 3) + 1j
    for call in (lambda: ops.silu(z), lambda: ops.softmax(z), lambda: ops.linear(z, z.T)):
        with pytest.raises(TypeError, match="has dtype complex128, expected a floating-point array"):
            call()
    with pytest.raises(TypeError, match="w is complex128 but x is float64; an op works in one dtype"):
        ops.linear(z.real, z.T)


def test_complex_arrays_pass_in_no_other_thread_while_a_derivative_is_taken():
    said = []

    def other():
        try:
            ops.softmax(randn(2, 3) + 1j)
        except TypeError as error:
            said.append(str(error))

    def f(x):
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        return x * x

    along(f, randn(2))
    assert said == ["softmax: x has dtype complex128, expected a floating-point array"]


def test_precisions_are_not_mixed_in_complex_numbers_either():
    with pytest.raises(TypeError, match="w is float32 but x is complex128"):
        along(lambda x: ops.linear(x, np.ones((3, 2), np.float32)), randn(2, 3))


@pytest.mark.parametrize(
    "f",
    [lambda x: abs(x), lambda x: x.real, lambda x: x.astype(np.float64), lambda x: np.ones(3), lambda x: np.float64(1),
     lambda x: np.put(out := np.zeros(3), [0, 1, 2], x) or out],
)  # fmt: skip
def test_a_function_that_loses_the_imaginary_part_is_named(f):
    with pytest.raises(TypeError, match=r"f: it(s y is float64 for complex| casts complex)"):
        along(f, randn(3))


def test_arguments_that_do_not_fit_are_named():
    x, layer = randn(3, 2), nn.Linear(2, 3, rng=0).astype(np.float64)
    for arguments, kind, words in [
        (([x], []), ValueError, "tangents: got 0, expected one for each of the 1 arrays"),
        (([x], [None]), ValueError, "tangents: got None for every array"),
        (([x], [np.ones(3)]), ValueError, r"tangents\[0\]: got shape \(3,\), expected \(3, 2\)"),
        (([np.arange(2)], [np.ones(2)]), TypeError, r"tangents\[0\]: got a tangent for int64, expected float64 or float32"),
        (([x], [x.astype(np.float32)]), TypeError, r"tangents\[0\]: got float32 for float64, expected one dtype"),
        (([x], [x], {"wieght": x}), ValueError, "params: got wieght, expected paths"),
        (([x], [x], {"weight": x}), ValueError, r"params\['weight'\]: got shape \(3, 2\), expected \(2, 3\)"),
    ]:
        with pytest.raises(kind, match=words):
            jvp(layer, *arguments)
