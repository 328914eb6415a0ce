"""Products through an own cuBLAS handle, and the row convolution on top of them."""

import numpy as np
import pytest

from minidiff import ops
from minidiff.gpu import matmul
from minidiff.settings import plain


def _floats(rng, *shape):
    return rng.standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("shape", [(5, 3, 4), (1, 7, 1), (4, 1, 1), (1, 1, 6), (2, 5, 3, 4), (3, 1, 2, 1), (1, 4, 3, 2)])
@pytest.mark.parametrize("transposed", ["", "a", "b", "ab"])
def test_products(xp, blas, rng, shape, transposed):
    *batch, M, K, N = shape
    a = _floats(rng, *batch, K, M) if "a" in transposed else _floats(rng, *batch, M, K)
    b = _floats(rng, *batch, N, K) if "b" in transposed else _floats(rng, *batch, K, N)
    ours = [xp.asarray(z).swapaxes(-1, -2) if name in transposed else xp.asarray(z) for name, z in (("a", a), ("b", b))]
    numpys = [z.swapaxes(-1, -2) if name in transposed else z for name, z in (("a", a), ("b", b))]
    np.testing.assert_allclose(blas.matmul(*ours).get(), numpys[0] @ numpys[1], rtol=1e-5, atol=1e-5)


def test_products_that_do_not_fit(xp, blas):
    a = xp.zeros((4, 6), np.float32)
    with pytest.raises(ValueError, match="do not fit"):
        blas.matmul(a, a)
    with pytest.raises(ValueError, match="strides"):
        blas.matmul(a[:, ::2], xp.zeros((3, 2), np.float32))
    with pytest.raises(TypeError, match="float64"):
        blas.matmul(a.astype(np.float64), xp.zeros((6, 2), np.float64))


CONVOLUTIONS = [(1, 1, 1, 1, 1), (2, 4, 4, 3, 5), (3, 5, 2, 4, 1), (1, 7, 6, 2, 3), (2, 3, 8, 1, 300)]


@pytest.mark.parametrize("B, H, W, C, O", CONVOLUTIONS)
@pytest.mark.parametrize("with_bias", [True, False])
def test_row_convolution(xp, blas, rng, B, H, W, C, O, with_bias):
    arrays = [_floats(rng, B, H, W, C), _floats(rng, 3, 3, C, O) / 4] + [_floats(rng, O)] * with_bias
    with matmul.using(blas):
        y, back = ops.conv2d(*map(xp.asarray, arrays), padding=1)
        dy = _floats(rng, *y.shape)
        grads = back(xp.asarray(dy))
    assert back.__module__ == "minidiff.gpu.row_conv"
    with plain():
        y64, back64 = ops.conv2d(*(a.astype(np.float64) for a in arrays), padding=1)
    for ours, expected in zip((y, *grads), (y64, *back64(dy.astype(np.float64))), strict=True):
        np.testing.assert_allclose(ours.get(), expected, rtol=2e-5, atol=2e-5)


def test_the_room_makes_its_products_with_the_handle(xp, blas, rng):
    """Inside `using`, no product goes through the array library: the stand-in would refuse it while capturing."""
    x, w = xp.asarray(_floats(rng, 2, 5, 4)), xp.asarray(_floats(rng, 4, 4))
    expected = [(x @ w).get(), ops.attention(x, x, x, 2)[0].get()]
    if not hasattr(xp, "capturing"):
        pytest.skip("it is the stand-in that refuses")
    pool = xp.cuda.using_allocator(xp.cuda.MemoryPool().malloc)
    with pool, matmul.using(blas), xp.capturing():
        ours, back = ops.linear(x, w)
        attended, back_attention = ops.attention(x, x, x, 2)
        back(ours), back_attention(attended)
    with xp.capturing(), pytest.raises(NotImplementedError):
        ops.linear(x, w)
    for a, b in zip((ours, attended), expected, strict=True):
        np.testing.assert_allclose(a.get(), b, rtol=1e-5, atol=1e-5)
