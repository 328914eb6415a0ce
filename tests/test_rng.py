"""Philox against its published known answers, and numbers with the moments they should have."""

import re
from pathlib import Path

import numpy as np
import pytest

import minidiff
from minidiff.rng import CHUNK, Rng, RowsOfRng, Stream, as_rng, philox

# Random123 (Salmon et al. 2011), kat_vectors: philox4x32, 10 rounds. counter, key -> words
KNOWN = [
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    ((0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344), (0xA4093822, 0x299F31D0),
     (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1)),
]  # fmt: skip


@pytest.mark.parametrize("counter, key, words", KNOWN)
def test_known_answers(counter, key, words, outside):
    ours = philox([np.array([c], np.uint64) for c in counter], key)
    outside([int(w[0]) for w in ours], words, atol=0)


def test_moments_and_independence():
    z = Rng(0).standard_normal((400, 500), dtype=np.float64)
    n = z.size
    assert abs(z.mean()) < 4 / n**0.5 and abs(z.var() - 1) < 4 * (2 / n) ** 0.5
    assert abs((z**4).mean() - 3) < 4 * (96 / n) ** 0.5
    assert abs((z[:, 1:] * z[:, :-1]).mean()) < 4 / n**0.5
    u = Rng(1).random(100_000)
    assert 0 <= u.min() and u.max() < 1 and abs(u.mean() - 0.5) < 4 / (12 * 100_000) ** 0.5
    counts = np.bincount(Rng(2).integers(3, 10, 70_000), minlength=10)
    assert counts[:3].sum() == 0 and np.abs(counts[3:] - 10_000).max() < 500


def test_streams_steps_calls_and_seeds_differ_and_repeat():
    base = Rng(5, stream=1, step=2)
    first = base.random(8)
    others = [base.random(8), base.at(step=3).random(8), base.at(stream=2).random(8), Rng(6, 1, 2).random(8)]
    assert not any(np.array_equal(first, other) for other in others)
    np.testing.assert_array_equal(first, Rng(5, stream=1, step=2).random(8))
    np.testing.assert_array_equal(first, base.at().random(8))


def test_a_longer_draw_begins_as_a_shorter_one():
    """Element i depends on i alone, so a batch split over devices draws the same uniforms."""
    np.testing.assert_array_equal(Rng(0).random(100)[:37], Rng(0).random(37))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("first, n", [(0, 7), (1, 6), (3, 9), (4, 4), (101, 0), (4 * CHUNK - 3, 10)])
def test_a_part_of_a_draw_is_that_of_the_whole(first, n, dtype):
    part, whole = Rng(3), Rng(3)
    np.testing.assert_array_equal(part.random((n,), dtype, first=first), whole.random(first + n, dtype)[first:])
    assert part.call == whole.call == 1


@pytest.mark.parametrize("rng", [Rng, np.random.default_rng])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("row", [(), (3,), (2, 5)])
@pytest.mark.parametrize("rows", [slice(0, 7), slice(0, 2), slice(2, 5), slice(3, 4), slice(4, 4), slice(5, 7), slice(7, 7)])
def test_rows_of_a_draw_are_those_of_the_whole(rng, dtype, row, rows):
    part, whole = RowsOfRng(rng(3), rows, 7), rng(3)
    size, all_rows = (rows.stop - rows.start, *row), (7, *row)
    for _ in range(2):  # the draws that follow are the same too
        np.testing.assert_array_equal(part.standard_normal(size, dtype), whole.standard_normal(all_rows, dtype)[rows])
        np.testing.assert_array_equal(part.random(size, dtype), whole.random(all_rows, dtype)[rows])
        np.testing.assert_array_equal(part.integers(3, 90, size), whole.integers(3, 90, all_rows)[rows])
    one_size = part.integers(9, size=len(range(7)[rows]))
    np.testing.assert_array_equal(one_size, whole.integers(9, size=7)[rows])


@pytest.mark.parametrize("n", [4 * CHUNK - 1, 4 * CHUNK, 4 * CHUNK + 1, 8 * CHUNK + 5])
def test_a_large_draw_is_the_same_in_pieces(n):
    counter = [np.arange(-(-n // 4), dtype=np.uint64), *(np.array([word], np.uint64) for word in (0, 3, 9))]
    whole = np.stack(philox(counter, (7, 0)), axis=1).reshape(-1)[:n]
    np.testing.assert_array_equal(Rng(7, stream=3, step=9).bits(n), whole)


def test_permutation_and_shapes():
    assert sorted(Rng(0).permutation(50)) == list(range(50)) and not np.array_equal(Rng(0).permutation(50), np.arange(50))
    assert Rng(0).standard_normal((2, 3)).shape == (2, 3) and Rng(0).standard_normal().shape == ()
    assert Rng(0).standard_normal(5).dtype == np.float32 and Rng(0).random(0).shape == (0,)


def test_bad_arguments_and_what_as_rng_takes():
    for arguments, words in (((-1,), "seed: got -1"), ((0, 2**32), "stream"), ((0, 0, 1.5), "step: got 1.5")):
        with pytest.raises(ValueError, match=words):
            Rng(*arguments)
    with pytest.raises(ValueError, match=r"range \[3, 3\) is empty"):
        Rng(0).integers(3, 3)
    numpys = np.random.default_rng(0)
    assert as_rng(numpys) is numpys and as_rng(7).seed == 7 and as_rng(None).seed != as_rng(None).seed


def test_streams_come_from_the_table():
    """`Stream` is unique by construction; a bare number elsewhere could clash with it."""
    bare = re.compile(r"\bRng\([^(),\n]*,\s*(stream=)?\d+\b|\bstream=\d")
    assert bare.search("Rng(seed, 3)") and bare.search("rng.at(stream=4)") and not bare.search("Rng(seed, Stream.NOISE, 3)")
    files = [file for file in Path(minidiff.__file__).parent.rglob("*.py") if file.name not in ("rng.py", "cublas.py")]
    assert [file.name for file in files if bare.search(file.read_text("utf-8"))] == []  # cublas.py has streams of CUDA


def test_streams_keep_their_numbers():
    """A run resumes to the bit only on the numbers that its first steps were drawn from."""
    table = dict(WEIGHTS=0, NOISE=1, DROPOUT=2, SAMPLES=3, EXAMPLES=4, PIXELS=5, ORDER=0xDA7A)
    assert {name: int(Stream[name]) for name in table} == table
    np.testing.assert_array_equal(Rng(5, Stream.NOISE, 3).bits(7), Rng(5, 1, 3).bits(7))
