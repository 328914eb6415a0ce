"""The capture of a CUDA graph: what is asked of the arrays is written down, not done; a replay does it, in the same memory.

As on a card, Python numbers are frozen into the recording, and only what lies in device memory changes from one replay to
the next. Before each replay everything that was allocated while recording is made unusable (NaN, an index out of range),
so a step that reads what it has not written this time is found out. What NumPy computes while recording is garbage of the
right shape: nothing that existed before is changed.
"""

import contextlib

import numpy as np

from . import limits

_tape = None  # the graph that is being recorded


class Graph:
    """cupy.cuda.Graph"""

    def __init__(self):
        self.steps, self.memory = [], []

    def launch(self, stream=None):
        for array in self.memory:
            spoil(array)
        with np.errstate(all="ignore"):
            for step in self.steps:
                step()


def spoil(array):
    """Numbers that nobody can mistake for results."""
    if array.dtype.kind == "f":
        array.fill(np.nan)
    elif array.dtype.kind in "iu":
        array.fill(np.iinfo(array.dtype).max)


def recording():
    """Whether a capture is under way."""
    return _tape is not None


def do(work):
    """work(), which changes existing memory: now, or when the graph is launched."""
    if _tape is None:
        return work()
    _tape.steps.append(work)


def keep(array):
    """New memory that nothing fills yet."""
    if _tape is not None:
        _tape.memory.append(array)


def note(arrays, again):
    """New arrays that again() computes once more, as a list of the same length."""
    if _tape is None:
        return
    _tape.memory.extend(arrays)

    def step():
        for array, new in zip(arrays, again(), strict=True):
            array[...] = new

    _tape.steps.append(step)


class Capture:
    """Between begin and end, work is recorded."""

    def begin(self):
        global _tape
        if _tape is not None:
            raise limits.CaptureError("a capture is under way already")
        _tape = Graph()
        self.rules = contextlib.ExitStack()
        self.rules.enter_context(limits.capturing())

    def end(self):
        global _tape
        graph, _tape = _tape, None
        self.rules.close()
        return graph
