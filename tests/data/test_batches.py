import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minidiff.data import batch_indices, random_flip
from minidiff.rng import Rng


@settings(max_examples=50, deadline=None)
@given(n=st.integers(1, 40), batch_size=st.integers(1, 100), seed=st.integers(0, 2**64 - 1))
def test_every_epoch_holds_each_example_once(n, batch_size, seed):
    steps = 3 * n // batch_size + 2
    row = np.concatenate([batch_indices(n, batch_size, step, seed) for step in range(steps)])
    assert row.dtype == np.int64 and len(row) == steps * batch_size
    for epoch in range(len(row) // n):
        np.testing.assert_array_equal(np.sort(row[epoch * n : (epoch + 1) * n]), np.arange(n))


def test_a_batch_does_not_depend_on_earlier_calls():
    from minidiff.data import batches

    forward = [batch_indices(100, 32, step, 5) for step in range(10)]
    for step in (9, 0, 4, 7):
        batches._order.cache_clear()
        np.testing.assert_array_equal(batch_indices(100, 32, step, 5), forward[step])
    forward[0][:] = -1  # a caller's array is its own
    assert (batch_indices(100, 32, 0, 5) >= 0).all()


def test_epochs_and_seeds_differ():
    first, second = batch_indices(50, 50, 0, 1), batch_indices(50, 50, 1, 1)
    assert not np.array_equal(first, second) and not np.array_equal(first, batch_indices(50, 50, 0, 2))


@pytest.mark.parametrize(
    "name,args", [("n", (0, 1, 0)), ("batch_size", (5, 0, 0)), ("step", (5, 1, -1)), ("step", (5, 1, 0.5))]
)
def test_bad_numbers(name, args):
    with pytest.raises(ValueError, match=f"{name}: got .*, expected a whole number"):
        batch_indices(*args, seed=0)


def test_flip():
    images = Rng(0).standard_normal((400, 2, 3, 3))
    flipped = random_flip(images, Rng(1))
    same = (flipped == images).all(axis=(1, 2, 3))
    mirrored = (flipped == images[:, :, ::-1]).all(axis=(1, 2, 3))
    assert (same ^ mirrored).all() and 140 < same.sum() < 260  # 6 standard deviations of 10
    np.testing.assert_array_equal(flipped, random_flip(images, Rng(1)))
    assert flipped.dtype == np.float32
