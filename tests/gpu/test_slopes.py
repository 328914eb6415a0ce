"""The gradients of every kernel against the slope of the plain reference, by a complex step in float64.

Kernels work in float32, so <J^T dy, v> has their float32 precision, and <dy, J v> the reference's float64 precision.
"""

import numpy as np
import pytest

from minidiff import gpu, ops
from minidiff.complex_step import jvp
from minidiff.rng import Rng


def randn(*shape, seed=0):
    return Rng(seed).standard_normal(shape, dtype=np.float32)


CASES = {
    "attention": (lambda q, k, v: ops.attention(q, k, v, 2), [randn(2, 5, 6), randn(2, 7, 6, seed=1), randn(2, 7, 10, seed=2)]),
    "conv2d": (lambda x, w, b: ops.conv2d(x, w, b, 2, 1), [randn(2, 7, 5, 3), randn(3, 3, 3, 4, seed=1), randn(4, seed=2)]),
    "embedding": (None, [randn(4, 5)]),  # made in the test: its index lies on the device
    "group_norm": (lambda *a: ops.group_norm(*a, 3), [randn(2, 5, 4, 12), randn(12, seed=1), randn(12, seed=2)]),
    "group_norm_silu": (
        lambda x, g, b, temb: ops.group_norm_silu(x, g, b, 3, temb=temb),
        [randn(2, 5, 4, 12), randn(12, seed=1), randn(12, seed=2), randn(2, 12, seed=3)],
    ),
    "linear": (ops.linear, [randn(2, 3, 5), randn(5, 7, seed=1), randn(7, seed=2)]),
    "modulate": (ops.modulate, [randn(2, 5, 3, 12), randn(2, 12, seed=1), randn(2, 12, seed=2)]),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_kernel_gradients_against_the_reference_s_slope(xp, name):
    f, arrays = CASES[name]
    index = np.array([[0, 3, 3], [2, 0, 3]])
    there, here = f or (lambda table: ops.embedding(table, xp.asarray(index))), f or (lambda table: ops.embedding(table, index))
    y, back = there(*map(xp.asarray, arrays))
    assert back.__module__.startswith("minidiff.gpu")
    dy = randn(*y.shape, seed=9)
    grads = back(xp.asarray(dy))
    for i, grad in enumerate(grads if isinstance(grads, tuple) else (grads,)):
        v = randn(*arrays[i].shape, seed=10 + i).astype(np.float64)
        slope = jvp(here, [a.astype(np.float64) for a in arrays], [v if j == i else None for j in range(len(arrays))])[1]
        typical = np.linalg.norm(dy * slope) + np.linalg.norm(grad.get() * v)
        assert abs((dy * slope).sum() - (grad.get() * v).sum()) < 2e-6 * typical


def test_every_op_with_kernels_is_here():
    assert set(CASES) == set(gpu.__all__)
