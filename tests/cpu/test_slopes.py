"""The gradients of every fast CPU version, in float64, against the slope of the plain reference by a complex step.

`gradcheck` draws arrays too small for most fast versions. These are large enough, and the test sees to it that they run.
"""

import numpy as np
import pytest

from minidiff import cpu, ops
from minidiff.complex_step import jvp
from minidiff.gradcheck import check
from minidiff.rng import Rng
from minidiff.settings import plain


def randn(*shape, seed=0):
    return Rng(seed).standard_normal(shape, dtype=np.float64)


FAST = {
    "silu": (ops.silu, [randn(40, 60)]),
    "gelu_tanh": (ops.gelu_tanh, [randn(40, 60)]),
    "linear": (ops.linear, [randn(300, 60), randn(60, 70, seed=1), randn(70, seed=2)]),
    "conv2d": (lambda x, w, b: ops.conv2d(x, w, b, 2, 1), [randn(3, 9, 8, 5), randn(3, 3, 5, 6, seed=1), randn(6, seed=2)]),
    "conv2d by winograd": (
        lambda x, w: ops.conv2d(x, w, None, 1, 1), [randn(4, 16, 16, 40), randn(3, 3, 40, 40, seed=1)]
    ),
    "group_norm": (lambda *a: ops.group_norm(*a, 4), [randn(2, 6, 5, 24), randn(24, seed=1), randn(24, seed=2)]),
    "group_norm_silu": (
        lambda x, g, b, temb: ops.group_norm_silu(x, g, b, 4, temb=temb),
        [randn(2, 6, 5, 24), randn(24, seed=1), randn(24, seed=2), randn(2, 24, seed=3)],
    ),
    "attention": (
        lambda q, k, v: ops.attention(q, k, v, 4), [randn(2, 40, 32), randn(2, 30, 32, seed=1), randn(2, 30, 32, seed=2)]
    ),
    "attention by large tables": (
        lambda q, k, v: ops.attention(q, k, v, 4), [randn(2, 40, 16), randn(2, 30, 16, seed=1), randn(2, 30, 16, seed=2)]
    ),
    "modulate": (ops.modulate, [randn(3, 5, 7, 30), randn(3, 30, seed=1), randn(3, 30, seed=2)]),
    "upsample_nearest": (lambda x: ops.upsample_nearest(x, 2), [randn(2, 32, 32, 16)]),
}  # fmt: skip


def runs_fast(f, arrays):
    """Whether the function that carries the gradient back is the fast version's."""
    return f(*arrays)[1].__module__.startswith("minidiff.cpu")


@pytest.mark.parametrize("name", FAST)
def test_fast_gradient_against_the_reference_s_slope(name):
    f, arrays = FAST[name]
    assert runs_fast(f, arrays)
    with plain():
        assert not runs_fast(f, arrays)
    errors = check(f, *arrays, method="complex", tolerance=1e-12)
    assert len(errors) == len(arrays) and {error.method for error in errors.values()} == {"complex"}


def test_winograd_runs_for_these_shapes(monkeypatch):
    f, arrays = FAST["conv2d by winograd"]
    ran = []
    for name in ("run", "gradients"):
        whole = getattr(cpu.winograd, name)
        monkeypatch.setattr(cpu.winograd, name, lambda *a, n=name, whole=whole: ran.append(n) or whole(*a))
    y, back = f(*arrays)
    back(y)
    assert ran == ["run", "gradients"]


def test_gelu_which_is_fast_in_float32_alone():
    """<dy, J v> of the reference in float64, and <J^T dy, v> of the fast version."""
    x, v, dy = (randn(60, 60, seed=seed).astype(np.float32) for seed in range(3))
    _, back = ops.gelu(x)
    assert back.__module__ == "minidiff.cpu.slopes"
    slope = jvp(ops.gelu, [x.astype(np.float64)], [v.astype(np.float64)])[1]
    typical = np.linalg.norm(dy * slope)
    assert abs((dy * slope).sum() - (back(dy) * v).sum(dtype=np.float64)) < 1e-6 * typical


def test_every_fast_version_is_here():
    fast = {name for name in ops.__all__ if hasattr(getattr(ops, name), "reference") and getattr(ops, name).fast("cpu")}
    assert fast == {name.partition(" ")[0] for name in FAST} | {"gelu"}
