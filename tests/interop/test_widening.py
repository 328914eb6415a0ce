"""Half-precision weights as float32: the fast version equals the plain conversion bit for bit."""

import numpy as np
import pytest

from minidiff.interop import widening
from minidiff.interop.tensor_file import widen
from minidiff.interop.widening import widened
from minidiff.thread_team import threads


def every_finite(dtype):
    """All numbers of a half-precision format but infinity and NaN, as they lie in a file."""
    bits = np.arange(1 << 16, dtype=np.uint16)
    bits = bits[np.isfinite(widen(bits.view(np.float16) if dtype == "F16" else bits, dtype))]
    return bits.view(np.float16) if dtype == "F16" else bits


def same_bits(a, b):
    return a.dtype == b.dtype == np.float32 and a.shape == b.shape and np.array_equal(a.view(np.int32), b.view(np.int32))


@pytest.mark.parametrize("dtype", ["F16", "BF16"])
def test_every_finite_number_is_widened_exactly(dtype):
    numbers = every_finite(dtype)
    assert numbers.size > widening.PIECE  # so the fast version runs
    assert same_bits(widened(numbers, dtype), widen(numbers, dtype))


@pytest.mark.parametrize("dtype", ["F16", "BF16"])
@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("shape", [(130, 67, 3, 3), (70, 501, 1, 1), (3, 4099, 2, 3)])
def test_a_kernel_is_turned_on_the_way(shape, count, dtype):
    numbers = np.resize(every_finite(dtype), shape)
    assert numbers.size >= widening.PIECE
    with threads(count):
        wide = widened(numbers, dtype, (2, 3, 1, 0))
    assert same_bits(wide, np.ascontiguousarray(widen(numbers, dtype).transpose(2, 3, 1, 0)))


@pytest.mark.parametrize("dtype", ["F16", "BF16"])
def test_a_matrix_is_seen_from_the_side(dtype):
    numbers = np.resize(every_finite(dtype), (211, 307))
    assert same_bits(widened(numbers, dtype, (1, 0)).T, widen(numbers, dtype))


def test_what_the_fast_version_does_not_take_is_converted_all_the_same():
    wide = np.arange(1 << 17, dtype=np.float64).reshape(2, -1)
    assert same_bits(widened(wide, "F64", (1, 0)), wide.T.astype(np.float32))
    strided = np.resize(every_finite("F16"), (400, 500))[:, ::2]
    assert same_bits(widened(strided, "F16"), strided.astype(np.float32))
    turned_otherwise = np.resize(every_finite("F16"), (40, 20, 50))
    assert same_bits(widened(turned_otherwise, "F16", (2, 0, 1)), turned_otherwise.transpose(2, 0, 1).astype(np.float32))
