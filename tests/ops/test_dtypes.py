"""An op returns the dtype it was given, and float32 says what float64 says, to float32's precision."""

import numpy as np
import pytest

from minidiff import selfcheck
from minidiff.rng import Rng


@pytest.mark.parametrize("case", selfcheck.OPS, ids=lambda case: case.__name__)
@pytest.mark.parametrize("seed", range(5))
def test_float32_follows_float64(case, seed):
    rng = Rng(seed)
    f, arrays = case(lambda a, b: int(rng.integers(a, b + 1)), lambda *s: rng.standard_normal(s, np.float64))
    wide, back_wide = f(*arrays)
    narrow, back_narrow = f(*(a.astype(np.float32) for a in arrays))
    assert narrow.dtype == np.float32 and wide.dtype == np.float64
    np.testing.assert_allclose(narrow, wide, rtol=0, atol=1e-5 * max(np.abs(wide).max(), 1))
    dy = rng.standard_normal(wide.shape, np.float64)
    grads_wide, grads_narrow = back_wide(dy), back_narrow(dy.astype(np.float32))
    if not isinstance(grads_wide, tuple):
        grads_wide, grads_narrow = (grads_wide,), (grads_narrow,)
    for g64, g32 in zip(grads_wide, grads_narrow, strict=True):
        assert g32.dtype == np.float32
        np.testing.assert_allclose(g32, g64, rtol=0, atol=1e-4 * max(np.abs(g64).max(), 1))


def test_back_is_linear_and_may_be_called_again():
    """back(d1) + back(d2) == back(d1 + d2): it reads what it captured and changes none of it."""
    for case in selfcheck.OPS:
        rng = Rng(11)
        f, arrays = case(
            lambda a, b, rng=rng: int(rng.integers(a, b + 1)), lambda *s, rng=rng: rng.standard_normal(s, np.float64)
        )
        y, back = f(*arrays)
        d1, d2 = rng.standard_normal((2, *y.shape), np.float64)
        parts = [g if isinstance(g, tuple) else (g,) for g in (back(d1), back(d2), back(d1 + d2))]
        for one, two, both in zip(*parts, strict=True):
            np.testing.assert_allclose(one + two, both, rtol=1e-10, atol=1e-10, err_msg=case.__name__)


def test_large_inputs_do_not_overflow():
    from minidiff import ops

    with np.errstate(all="raise", under="ignore"):
        x = np.array([-1e4, -100.0, 0.0, 100.0, 1e4], np.float32)
        for op in (ops.silu, ops.gelu, ops.softmax):
            y, back = op(x)
            assert np.isfinite(y).all() and np.isfinite(back(np.ones_like(x))).all()
        q = np.full((2, 3, 4), 200.0, np.float32)
        assert np.isfinite(ops.attention(q, q, q)[0]).all()
