"""Every fast version gives what its plain reference gives: value and all gradients, over shapes drawn at random."""

import importlib
import math

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import minidiff
from minidiff import cpu, ops
from minidiff.rng import Rng
from minidiff.settings import no_grad, setting

THREADS = st.integers(1, 3)
many = settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
EPS = {"float32": 1e-5, "float64": 1e-13}
dtypes = st.sampled_from(["float32", "float64"])


def tied(name, dtype, threads, *arguments, together=False, **options):
    """Hold the fast op `name` to its reference on these arguments; dy is drawn from a seed of its own.

    Errors are measured against the largest number of each gradient, or of all gradients `together`.
    """
    fast, plain = getattr(cpu, name), getattr(ops, name).reference
    with minidiff.threads(threads):
        answer = fast(*arguments, **options)
        assert answer is not NotImplemented
        y, back = answer
        dy = Rng(99).standard_normal(y.shape, dtype=dtype)
        grads, again = back(dy), back(dy)
    with ops.plain():
        true, back_true = plain(*arguments, **options)
        wanted = back_true(dy)
    grads, again, wanted = ((g if isinstance(g, tuple) else (g,)) for g in (grads, again, wanted))
    largest = max(np.abs(want).max() for want in wanted) if together else 0
    for got, same, want in zip(grads, again, wanted, strict=True):
        assert np.array_equal(got, same)
        close(got, want, EPS[dtype], largest)
    close(y, true, EPS[dtype])


def close(got, want, eps, size=0):
    assert got.shape == want.shape and got.dtype == want.dtype
    assert np.abs(got - want).max() <= eps * max(np.abs(want).max(), size)


def draw(seed, dtype, *shape):
    return Rng(seed).standard_normal(shape, dtype=dtype)


@many
@given(dtypes, THREADS, st.data())
def test_conv2d(dtype, threads, data):
    KH, KW, stride = (data.draw(st.integers(1, 4)) for _ in range(3))
    pads = tuple(tuple(data.draw(st.integers(0, 3)) for _ in range(2)) for _ in range(2))
    B, C, O = data.draw(st.integers(1, 9)), data.draw(st.integers(1, 40)), data.draw(st.integers(1, 40))
    H = data.draw(st.integers(max(1, KH - sum(pads[0])), 20))
    W = data.draw(st.integers(max(1, KW - sum(pads[1])), 20))
    x, w, b = draw(1, dtype, B, H, W, C), draw(2, dtype, KH, KW, C, O), draw(3, dtype, O)
    arrays = (x, w, b) if data.draw(st.booleans()) else (x, w)
    tied("conv2d", dtype, threads, *arrays, stride=stride, padding=pads)


@pytest.mark.parametrize("pads", [((2, 1), (1, 3)), ((1, 3), (2, 1)), ((3, 0), (0, 3))])
def test_conv2d_padded_by_more_than_the_kernel_on_one_side(pads):
    """The input's gradient is then no convolution of dy with zeros around it: it would need fewer than none on that side."""
    tied("conv2d", "float64", 1, draw(1, "float64", 2, 9, 8, 5), draw(2, "float64", 3, 3, 5, 4), padding=pads)


@pytest.mark.parametrize("kernel, stride, padding", [(3, 1, 0), (3, 2, 0), (4, 4, 0), (3, 1, 1)])
def test_conv2d_of_grey_images_whose_channel_axis_was_moved(kernel, stride, padding):
    """NumPy calls them contiguous, and gives the axis of length 1 the stride of a whole image."""
    x = draw(1, "float32", 64, 1, 12, 8).transpose(0, 2, 3, 1)
    assert x.flags.c_contiguous and x.strides[3] == 12 * 8 * 4
    tied("conv2d", "float32", 1, x, draw(2, "float32", kernel, kernel, 1, 8), stride=stride, padding=padding)


@pytest.mark.parametrize("dtype", EPS)
@pytest.mark.parametrize("shape", [(2, 40, 40, 48), (1, 64, 64, 32), (40, 8, 8, 32), (7, 16, 16, 64), (1, 8, 7, 99)])
def test_conv2d_of_many_pieces(shape, dtype):
    C = shape[3]
    w, b = draw(2, dtype, 3, 3, C, C) / (3 * C**0.5), draw(3, dtype, C)
    for stride in (1, 2):
        tied("conv2d", dtype, 2, draw(1, dtype, *shape), w, b, stride=stride, padding=1)


@pytest.mark.parametrize("dtype", EPS)
@pytest.mark.parametrize(("shape", "O"), [((3, 5, 7, 130), 257), ((1, 12, 11, 40), 150), ((9, 9, 8, 100), 190)])
def test_conv2d_of_more_filters_than_pixels(shape, O, dtype):
    """The gradient of x is then one product for each tap; the last one's work is shared among two threads, by channels."""
    w = draw(2, dtype, 3, 3, shape[3], O) / (3 * shape[3] ** 0.5)
    tied("conv2d", dtype, 2, draw(1, dtype, *shape), w, draw(3, dtype, O), padding=1)
    tied("conv2d", dtype, 2, draw(1, dtype, *shape), w, padding=((2, 0), (1, 1)))


@pytest.mark.parametrize("dtype", EPS)
@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("size", [17, 32])
def test_a_lone_image(size, threads, dtype):
    """BLAS's threads share its products (`thread_team.share`)."""
    x, tokens = draw(1, dtype, 1, size, 18, 64), draw(2, dtype, 1, 150, 128)
    calls = [
        ("conv2d", (x, draw(3, dtype, 3, 3, 64, 48) / 24, draw(4, dtype, 48), 1, 1)),  # the larger one by Winograd's
        ("conv2d", (x, draw(3, dtype, 5, 3, 64, 48) / 31, draw(4, dtype, 48), 1, 1)),
        ("conv2d", (x, draw(3, dtype, 3, 3, 64, 48) / 24, None, 2, 1)),
        ("linear", (tokens, draw(3, dtype, 128, 160), draw(4, dtype, 160))),
        ("attention", (tokens, tokens[:, :120].copy(), tokens[:, 30:].copy(), 4)),
    ]
    for name, arguments in calls:
        with minidiff.threads(threads), setting(no_grad=True, lone=True):
            y = getattr(cpu, name)(*arguments)[0]
        close(y, getattr(ops, name).reference(*arguments)[0], EPS[dtype])


@many
@given(dtypes, THREADS, st.integers(1, 3), st.integers(1, 600), st.integers(1, 80), st.integers(1, 80))
def test_linear(dtype, threads, B, N, I, O):
    N = max(N, cpu.linear.__globals__["SMALL"] // (B * I * O) + 1)
    tied("linear", dtype, threads, draw(1, dtype, B, N, I), draw(2, dtype, I, O), draw(3, dtype, O))


@many
@given(dtypes, THREADS, st.integers(1, 12), st.integers(1, 12), st.integers(1, 20), st.integers(1, 4), st.integers(1, 16))
def test_group_norm(dtype, threads, B, H, W, groups, each):
    C = groups * each
    B = max(B, 512 // (H * W * C) + 1)
    x = draw(1, dtype, B, H, W, C) * 2 + 3
    gamma, beta = draw(2, dtype, C), draw(3, dtype, C)
    if H * W * each == 1:  # one number has no deviation: both give beta, and gradients of pure rounding
        return
    tied("group_norm", dtype, threads, x, gamma, beta, groups=groups, eps=1e-2)
    tied("group_norm_silu", dtype, threads, x, gamma, beta, groups=groups, eps=1e-2)
    temb = draw(4, dtype, B, C) * 2
    tied("group_norm_silu", dtype, threads, x, gamma, beta, groups, 1e-2, temb, together=True)  # dtemb may be 0: it cancels


@pytest.mark.parametrize("dtype", EPS)
def test_group_norm_silu_where_the_norm_is_zero(dtype):
    """silu'(0) is 1/2: with beta = 0, the dbeta of an image of zeros is half the sum of dy."""
    x, dy = np.zeros((2, 4, 6, 16), dtype), draw(1, dtype, 2, 4, 6, 16)
    for beta in (0.0, -1.5):
        y, back = cpu.group_norm_silu(x, np.ones(16, dtype), np.full(16, beta, dtype), 4)
        s = 1 / (1 + math.exp(-beta))
        close(y, np.full_like(x, beta * s), EPS[dtype])
        close(
            back(dy)[2], dy.sum(axis=(0, 1, 2)) * dy.dtype.type(s * (1 + beta * (1 - s))), 1e-5 if dtype == "float32" else 1e-12
        )


@many
@given(dtypes, THREADS, st.integers(1, 9), st.lists(st.integers(1, 20), max_size=2), st.integers(2, 300))
def test_modulate(dtype, threads, B, rows, D):
    B = max(B, cpu.modulate.__globals__["SMALL"] // (math.prod(rows) * D) + 1)
    x, shift, scale = draw(1, dtype, B, *rows, D) * 2 + 3, draw(2, dtype, B, D), draw(3, dtype, B, D)
    tied("modulate", dtype, threads, x, shift, scale, eps=1e-2)


@pytest.mark.parametrize("dtype", EPS)
def test_modulate_of_several_pieces(dtype):
    tied("modulate", dtype, 2, draw(1, dtype, 40, 49, 96) + 1, draw(2, dtype, 40, 96), draw(3, dtype, 40, 96))


@many
@given(
    dtypes, THREADS, st.integers(1, 5), st.integers(1, 40), st.integers(1, 40), st.integers(1, 4), st.integers(1, 9), st.data()
)
def test_attention(dtype, threads, B, N, M, heads, d, data):
    q, k = draw(1, dtype, B, N, heads * d) * 2, draw(2, dtype, B, M, heads * d)
    v = draw(3, dtype, B, M, heads * data.draw(st.integers(1, 9)))
    scale = data.draw(st.sampled_from([None, 0.5]))  # together: with one key dq and dk are 0, sums that cancel
    tied("attention", dtype, threads, q, k, v, heads=heads, scale=scale, together=True)


@pytest.mark.parametrize("dtype", EPS)
@pytest.mark.parametrize(("B", "N", "M", "heads"), [(1, 110, 120, 3), (1, 200, 190, 1), (1, 70, 70, 8), (5, 50, 60, 4)])
def test_attention_of_several_pieces(dtype, B, N, M, heads):
    """Of several images, or of one whose heads are two pieces."""
    q, k, v = draw(1, dtype, B, N, heads * 4), draw(2, dtype, B, M, heads * 4), draw(3, dtype, B, M, heads * 3)
    tied("attention", dtype, 2, q, k, v, heads=heads)


@pytest.mark.parametrize("tile", [1, 100, 5000, None])
@pytest.mark.parametrize(("B", "N", "M", "heads"), [(1, 110, 120, 3), (2, 57, 300, 5), (3, 9, 5000, 1), (1, 2000, 300, 2)])
def test_attention_in_tiles_where_no_gradient_follows(monkeypatch, tile, B, N, M, heads):
    """Of some heads and some queries of an image; the last shape is cut without a smaller TILE too."""
    if tile:
        monkeypatch.setattr(importlib.import_module("minidiff.cpu.attention"), "TILE", tile)  # not the function of that name
    q, k, v = (draw(seed, "float32", B, n, heads * 4) for seed, n in ((1, N), (2, M), (3, M)))
    q[0, 5] *= 100  # scores far from 0, in one of the tiles
    with minidiff.threads(2), no_grad():
        y, _ = cpu.attention(q, k, v, heads)
    want, _ = ops.attention.reference(*(z.astype(np.float64) for z in (q, k, v)), heads)
    np.testing.assert_allclose(y, want, rtol=0, atol=3e-6)


@pytest.mark.parametrize("features", [16, 64])
def test_attention_of_scores_whose_exponentials_overflow(features):
    """In float32 exp(89) does; in one row the largest score lies far below 0. With 64 features the weights are kept."""
    q, k, v = (draw(seed, "float64", 3, 40, features) for seed in (1, 2, 3))
    q *= 200
    k[:, :, : features // 4] += 5
    q[0, 7, : features // 4] = -400
    tied("attention", "float64", 2, q, k, v, heads=4)
    y, back = cpu.attention(*(z.astype(np.float32) for z in (q, k, v)), 4)
    assert all(np.isfinite(z).all() for z in (y, *back(y)))


@many
@given(dtypes, THREADS, st.integers(1, 9), st.integers(1, 20), st.integers(1, 20), st.integers(1, 70))
def test_upsample_nearest(dtype, threads, B, H, W, C):
    B = max(B, (1 << 14) // (H * W * C) + 1)
    tied("upsample_nearest", dtype, threads, draw(1, dtype, B, H, W, C))


@many
@given(dtypes, THREADS, st.integers(2048, 100_000))
def test_silu(dtype, threads, n):
    tied("silu", dtype, threads, draw(1, dtype, n) * 10)


@many
@given(THREADS, st.integers(2048, 300000))
def test_gelu(threads, n):
    x = draw(1, "float32", n) * 3
    x[:6] = [0, -0.0, 50, -50, 1e-20, 4e18]  # the last one's square is still finite
    tied("gelu", "float32", threads, x)


@many
@given(dtypes, THREADS, st.integers(2048, 100_000), st.booleans())
def test_gelu_tanh(dtype, threads, n, far):
    x = draw(1, dtype, n) * 3
    x[:6] = [0, -0.0, 1e-20, *((100, -100, 4e18) if far else (30, -30, -5))]  # far: beyond where the slope is 0 or 1
    tied("gelu_tanh", dtype, threads, x)


def test_gelu_to_two_units_in_the_last_place():
    """Within two units in the last place of float32 of 1, or of x where that is larger."""
    x = np.linspace(-6, 6, 20001).astype(np.float32)
    error = np.abs(cpu.gelu(x)[0] - ops.gelu.reference(x.astype(np.float64))[0])
    assert (error / np.maximum(1, np.abs(x))).max() < 2.4e-7
