"""Which version runs: the array decides, the reference stays in reach, and it makes the complaints."""

import inspect
from pathlib import Path

import numpy as np
import pytest

from minidiff import cpu, gpu, nn, ops
from minidiff.ops import dispatch

ROOT = Path(__file__).parents[2]
FAST = [
    "attention",
    "conv2d",
    "gelu",
    "gelu_tanh",
    "group_norm",
    "group_norm_silu",
    "linear",
    "modulate",
    "silu",
    "upsample_nearest",
]


class Other(np.ndarray):
    """An array of another kind, as far as dispatch can tell."""


Other.__module__ = "numpy"  # where xp_of looks for its functions


@pytest.fixture
def spied(monkeypatch):
    """Names of the fast versions that were entered."""
    entered = []

    def spy(name):
        fast = getattr(cpu, name)

        def entering(*args, **kwargs):
            entered.append(name)
            return fast(*args, **kwargs)

        return entering

    for name in FAST:
        monkeypatch.setattr(cpu, name, spy(name))
        op = getattr(ops, name)
        monkeypatch.setattr(ops, name, dispatch.has_fast_version(op.check)(op.reference))
    return entered


def test_every_fast_version_has_a_reference_of_the_same_signature():
    for name in FAST:
        op = getattr(ops, name)
        assert inspect.signature(getattr(cpu, name)) == inspect.signature(op.reference), name
        assert op.__doc__ == op.reference.__doc__ and "Fast version" in getattr(cpu, name).__doc__


@pytest.mark.parametrize("name", ops.__all__)
def test_the_docstring_of_a_reference_names_its_fast_versions(name):
    op = getattr(ops, name)
    rooms = [room for room in (cpu, gpu) if hasattr(op, "reference") and hasattr(room, name)]
    line = "Fast: " + ", ".join(f"{room.__name__.rpartition('.')[2]}.{name}" for room in rooms)
    assert [found for found in map(str.strip, op.__doc__.splitlines()) if found.startswith("Fast:")] == [line] * bool(rooms)
    if hasattr(op, "reference"):
        assert rooms and inspect.signature(op.check) == inspect.signature(op.reference)


def test_the_array_decides(spied):
    x, w = np.ones((8, 8, 8, 16), np.float32), np.ones((3, 3, 16, 16), np.float32)
    wanted, _ = ops.conv2d(x, w)
    assert spied == ["conv2d"]
    other, _ = ops.conv2d(x.view(Other), w)
    assert spied == ["conv2d"]
    with ops.plain():
        plain, _ = ops.conv2d(x, w)
    assert spied == ["conv2d"]
    assert np.allclose(plain, wanted, rtol=1e-5) and np.allclose(other, wanted, rtol=1e-5)


def test_plain_ends_with_its_block_also_after_an_error(spied):
    x = np.ones((64, 64), np.float32)
    with pytest.raises(KeyError), ops.plain():
        raise KeyError
    ops.silu(x)
    assert spied == ["silu"]


@pytest.mark.parametrize("wrong", [
    lambda x, w: ops.conv2d(x, w.astype(np.float64)),
    lambda x, w: ops.conv2d(x[..., :3], w),
    lambda x, w: ops.conv2d(x, w, np.ones(3, np.float32)),
    lambda x, w: ops.conv2d(x, w, stride=0),
    lambda x, w: ops.conv2d(x, w, padding=-1),
    lambda x, w: ops.conv2d(x[:, :2], w),
    lambda x, w: ops.group_norm_silu(x, w[0, 0, 0], w[0, 0, 0], 3),
    lambda x, w: ops.attention(x[0], x[0], x[0], heads=5),
    lambda x, w: ops.linear(x, w[0, 0, :3]),
    lambda x, w: ops.upsample_nearest(x, 0),
    lambda x, w: ops.silu(x.astype(np.int64)),
])  # fmt: skip
def test_wrong_arguments_raise_the_error_of_the_reference(wrong):
    x, w = np.ones((16, 8, 8, 16), np.float32), np.ones((3, 3, 16, 16), np.float32)
    with pytest.raises((ValueError, TypeError)) as fast:
        wrong(x, w)
    with ops.plain(), pytest.raises((ValueError, TypeError)) as plain:
        wrong(x, w)
    assert str(fast.value) == str(plain.value)


def test_strided_inputs_are_accepted():
    x, w = np.ones((16, 8, 8, 32), np.float32)[..., ::2], np.ones((3, 3, 16, 16), np.float32)
    for y, back in (ops.conv2d(x, w, None, 1, 1), ops.silu(x), ops.group_norm_silu(x, w[0, 0, 0], w[0, 0, 0], 4)):
        assert y.shape == x.shape and np.isfinite(y).all()
        back(np.ones((16, 8, 8, 32), np.float32)[..., ::2])


def test_back_saves_no_scratch_memory_and_can_be_called_later():
    """Another call in between uses the same scratch; what `back` returns must not be changed by it."""
    x, w = np.ones((16, 8, 8, 32), np.float32), np.full((3, 3, 32, 32), 0.1, np.float32)
    y, back = ops.conv2d(x, w, None, 1, 1)
    kept, (dx, dw) = y.copy(), back(y)
    kept_dx, kept_dw = dx.copy(), dw.copy()
    _, back_other = ops.conv2d(x * 7, w, None, 1, 1)
    back_other(y * 3)
    assert np.array_equal(y, kept) and np.array_equal(dx, kept_dx) and np.array_equal(dw, kept_dw)
    again = back(y)
    assert np.array_equal(again[0], kept_dx) and np.array_equal(again[1], kept_dw)


def test_sampling_keeps_nothing():
    """With no_grad a chain of layers frees as it goes: the peak does not grow with depth."""
    import tracemalloc

    def peak(depth):
        layers = nn.Sequential(*(nn.Conv2d(32, 32, 3, padding=1, rng=i) for i in range(depth)))
        x = np.ones((16, 16, 16, 32), np.float32)
        layers.predict(x)
        tracemalloc.start()
        layers.predict(x)
        highest = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return highest

    assert peak(12) < 1.3 * peak(3)


def test_which_names_the_function_that_runs_and_why():
    x, w = np.ones((8, 8, 8, 16), np.float32), np.ones((3, 3, 16, 16), np.float32)
    found = ops.which(ops.conv2d, x, w, padding=1)
    assert (found.function, found.file) == ("minidiff.cpu.conv2d.conv2d", "minidiff/cpu/conv2d.py")
    lines = (ROOT / found.file).read_text().splitlines()
    assert any(line.startswith("def conv2d(") for line in lines[found.line - 1 : found.line + 3])
    assert ops.which(ops.conv2d, x=x, w=w).function == found.function
    with ops.plain():
        assert ops.which(ops.conv2d, x, w)[:2] == ("minidiff.ops.conv2d.conv2d", "minidiff/ops/conv2d.py")
    declined = ops.which(ops.linear, np.ones((2, 3)), np.ones((3, 4)))  # too small to gain anything
    assert declined.function == "minidiff.ops.linear.linear" and "minidiff.cpu.linear.linear does not take" in str(declined)
    assert "no fast versions for arrays of this type" in ops.which(ops.conv2d, x.view(Other), w).why
    assert "no fast version in minidiff.cpu" in ops.which(ops.embedding, np.ones((3, 2)), np.array([0])).why
    assert ops.which(ops.mse, x, x) == ("minidiff.ops.loss.mse", "minidiff/ops/loss.py", ops.mse.__code__.co_firstlineno,
                                        "there is only this version")  # fmt: skip
    with pytest.raises(ValueError, match="conv2d: w has shape"):
        ops.which(ops.conv2d, x, x[0])
