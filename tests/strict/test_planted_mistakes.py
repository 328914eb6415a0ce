"""The stand-in bites: what CuPy would refuse, or stall on, or quietly do wrong, is an error here."""

import numpy as np
import pytest
from strict_cupy.memory import common

from minidiff import nn, ops


def _within(rules, call):
    def run():
        with rules():
            call()

    return run


def _recorded(xp, call, private=True):
    """call() in the capture of a graph."""

    def run():
        stream = xp.cuda.Stream(non_blocking=True)
        pool = xp.cuda.MemoryPool() if private else common
        with stream, xp.cuda.using_allocator(pool.malloc):
            stream.begin_capture()
            try:
                call()
            finally:
                stream.end_capture()

    return run


def _grows(xp):
    """A step that keeps what it should let go of."""
    kept, x = [], xp.ones((4, 4))

    def step():
        kept.append(x + 1.0)

    with xp.cuda.using_allocator(xp.cuda.MemoryPool().malloc):  # nothing lies free in it that would hide the growth
        step(), step()
        with xp.no_allocation():
            step()


def _mistakes(xp):
    x, host, indices = xp.ones((3, 3)), np.ones((3, 3)), xp.asarray(np.array([0, 0]))
    return {
        "memory of a recording from the common pool": _recorded(xp, lambda: xp.zeros((123, 457)), private=False),
        "host array in an operator": lambda: x + host,
        "host array first": lambda: host + x,
        "host array in place": lambda: x.__iadd__(host),
        "host array in a function": lambda: xp.maximum(x, host),
        "host array in an assignment": lambda: x.__setitem__(0, host[0]),
        "host array in an op": lambda: ops.linear(x, host),
        "host weights under a device input": lambda: nn.Linear(3, 2, rng=0)(x),
        "numpy's function on a device array": lambda: np.exp(x),
        "numpy's concatenate": lambda: np.concatenate([x, x]),
        "implicit conversion": lambda: np.asarray(x),
        "a name that CuPy lacks": lambda: xp.errstate(all="ignore"),
        "another": lambda: xp.block([[x]]),
        "a method that CuPy's array lacks": lambda: x.setflags(write=False),
        "a keyword that CuPy lacks": lambda: xp.sum(x, where=x > 0),
        "a keyword of a method that CuPy lacks": lambda: x.sum(initial=1.0),
        "index with a list": lambda: x[[0, 1]],
        "index with a host array": lambda: x[np.array([0])],
        "duplicate indices in an assignment": lambda: x.__setitem__(indices, 1.0),
        "a list in a ufunc": lambda: xp.add(x, [1.0, 2.0, 3.0]),
        "set() of another dtype": lambda: x.set(np.ones((3, 3), np.float32)),
        "float() in a training step": _within(xp.no_sync, lambda: float(x.sum())),
        "if in a training step": _within(xp.no_sync, lambda: 1 if x.sum() > 0 else 0),
        ".item() in a training step": _within(xp.no_sync, lambda: x.sum().item()),
        "a boolean mask in a training step": _within(xp.no_sync, lambda: x[x > 0]),
        "nonzero in a training step": _within(xp.no_sync, lambda: xp.nonzero(x)),
        "waiting for the stream in a training step": _within(xp.no_sync, lambda: xp.cuda.Stream().synchronize()),
        "an allocation in a training step": _within(xp.no_allocation, lambda: xp.zeros((17, 1234))),
        "a training step that keeps its activations": lambda: _grows(xp),
        "upload inside capture": _recorded(xp, lambda: xp.asarray(host)),
        "set() inside capture": _recorded(xp, lambda: x.set(host)),
        "matmul inside capture": _recorded(xp, lambda: x @ x),
        "einsum inside capture": _recorded(xp, lambda: xp.einsum("ij,jk->ik", x, x)),
        "float() inside capture": _recorded(xp, lambda: float(x.sum())),
        "a mask inside capture": _recorded(xp, lambda: x[x > 0]),
        "a capture inside a capture": _recorded(xp, lambda: xp.cuda.Stream().begin_capture()),
        "an event that nobody recorded": lambda: xp.cuda.Stream().wait_event(xp.cuda.Event()),
    }


def test_planted_mistakes_are_all_caught(xp, count):
    for name, mistake in _mistakes(xp).items():
        with pytest.raises((TypeError, AttributeError, NotImplementedError)):
            mistake()
            pytest.fail(f"not caught: {name}")
        count("planted")


def test_a_number_frozen_into_a_recording_shows(xp, graph_of, count):
    """The learning rate as a Python number, and as one in device memory: only the second changes from step to step."""
    rates = [1.0, 0.5, 0.25]
    frozen, right = xp.zeros(3), xp.zeros(3)
    rate, now = rates[0], xp.full(1, rates[0])

    def step():
        frozen.__iadd__(rate)
        right.__iadd__(now)

    graph = graph_of(step)
    for rate in rates:
        now.fill(rate)
        graph.launch()
    assert right.get().tolist() == [1.75] * 3 and frozen.get().tolist() == [3.0] * 3
    count("planted")


def test_what_a_replay_reads_before_it_writes_is_not_a_number(xp, graph_of, count):
    """Memory of the last step is not what this step finds there."""
    x, out, left_over = xp.ones(3), xp.zeros(3), []

    def step():
        out[...] = x + (left_over[0] if left_over else 0.0)
        left_over.append(x * 2.0)

    graph = graph_of(lambda: (step(), step(), left_over.pop(0)))
    graph.launch()
    assert out.get().tolist() == [3.0] * 3
    graph = graph_of(lambda: out.__setitem__(Ellipsis, x + xp.empty(3)))
    graph.launch()
    assert np.isnan(out.get()).all()
    count("planted")


def test_recording_changes_nothing_and_a_replay_does_it_all(xp, graph_of):
    x, clock, table = xp.ones(4), xp.zeros(1, dtype=np.int64), xp.asarray(np.array([1.0, 10.0, 100.0]))
    seen = []

    def step():
        seen.append(x.sum())
        x[1:] *= table[clock]
        xp.add.at(x, clock, 0.5)
        xp.multiply(x, 1.0, out=x)
        clock.__iadd__(1)

    graph = graph_of(step)
    assert x.get().tolist() == [1.0] * 4 and clock.get()[0] == 0
    for _ in range(3):
        graph.launch()
    assert clock.get()[0] == 3
    np.testing.assert_allclose(x.get(), _by_numpy(3))
    assert len(seen) == 1 and float(seen[0]) == _by_numpy(2).sum()  # the same array, with what the last replay put in


def _by_numpy(steps):
    x = np.ones(4)
    for k in range(steps):
        x[1:] *= [1.0, 10.0, 100.0][k]
        x[k] += 0.5
    return x


@pytest.fixture
def graph_of(xp):
    """graph_of(step): the graph of what step asks for."""

    def capture(step):
        stream = xp.cuda.Stream(non_blocking=True)
        with stream, xp.cuda.using_allocator(xp.cuda.MemoryPool().malloc):
            stream.begin_capture()
            step()
            return stream.end_capture()

    return capture
