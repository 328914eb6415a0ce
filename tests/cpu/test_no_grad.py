"""Under no_grad the fast ops keep nothing for a way back: the same numbers to the bit, and less memory. Group norms keep
nothing but their input and output anyway."""

import tracemalloc

import numpy as np
import pytest

from minidiff import ops, threads
from minidiff.nn import no_grad
from minidiff.rng import Rng

B, H, W, C = 8, 32, 28, 32


def attention(x):
    """Of the pixels of each image row, so that the weights are few and kept for the way back."""
    y, back = ops.attention(*[x.reshape(B * H, W, C)] * 3, 2)
    return y.reshape(x.shape), lambda dy: back(dy.reshape(y.shape))


OPS = {
    "group_norm_silu": lambda x: ops.group_norm_silu(x, 1 + x[0, 0, 0], x[0, 0, 1], 4),
    "group_norm": lambda x: ops.group_norm(x, 1 + x[0, 0, 0], x[0, 0, 1], 4),
    "modulate": lambda x: ops.modulate(x, x[:, 0, 0], x[:, 0, 1]),
    "attention": attention,
    "silu": ops.silu,
    "gelu": ops.gelu,
    "gelu_tanh": ops.gelu_tanh,
}


@pytest.fixture
def one_thread():
    """Each thread has scratch memory of its own, and which of them gets work is chance."""
    with threads(1):
        yield


def measured(op, x):
    """y, back, and the most memory that was held at once beside x."""
    tracemalloc.start()
    y, back = op(x)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return y, back, peak


@pytest.mark.parametrize("name", OPS)
def test_the_same_numbers_and_nothing_saved(name, one_thread):
    x = Rng(0).standard_normal((B, H, W, C))
    OPS[name](x)  # scratch memory is there from now on
    with no_grad():
        OPS[name](x)
    expected, back, with_back = measured(OPS[name], x)
    with no_grad():
        y, refused, without = measured(OPS[name], x)
    np.testing.assert_array_equal(y, expected)
    assert back(x) is not None
    with pytest.raises(RuntimeError, match="no_grad"):
        refused(x)
    assert without < 1.2 * x.nbytes
    assert with_back < 1.2 * x.nbytes if name.startswith("group_norm") else with_back > 1.9 * x.nbytes
