"""Images cut into patches, against torch's name for the same thing and against themselves."""

import numpy as np
import pytest

from minidiff import ops
from minidiff.rng import Rng


def test_blocks_become_pixels():
    x = np.arange(16.0).reshape(1, 4, 4, 1)
    y, _ = ops.space_to_depth(x, 2)
    np.testing.assert_array_equal(y[0, 0, 1], [2, 3, 6, 7])
    assert y.shape == (1, 2, 2, 4)


def test_there_and_back():
    x = Rng(0).standard_normal((2, 6, 9, 4))
    np.testing.assert_array_equal(ops.depth_to_space(ops.space_to_depth(x, 3)[0], 3)[0], x)


def test_against_torch():
    torch = pytest.importorskip("torch")
    x = Rng(0).standard_normal((2, 4, 6, 1))  # with one channel the two libraries agree on the order of channels
    theirs = torch.nn.functional.pixel_unshuffle(torch.tensor(x).permute(0, 3, 1, 2), 2).permute(0, 2, 3, 1)
    np.testing.assert_array_equal(ops.space_to_depth(x, 2)[0], theirs.numpy())


def test_errors():
    with pytest.raises(ValueError, match="H and W multiples of 2"):
        ops.space_to_depth(np.zeros((1, 3, 4, 1)))
    with pytest.raises(ValueError, match="C a multiple of 4"):
        ops.depth_to_space(np.zeros((1, 3, 4, 6)))
    with pytest.raises(ValueError, match="size is 0"):
        ops.space_to_depth(np.zeros((1, 4, 4, 1)), 0)
