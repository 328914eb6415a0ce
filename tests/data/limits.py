"""Limits on what a test may take: seconds of waiting, and memory until an error is raised."""

import contextlib
import signal
import tracemalloc

import pytest


@contextlib.contextmanager
def time_limit(seconds):
    """Ends a test that waits for a pipe, rather than the whole suite."""

    def late(*_):
        raise AssertionError("it hangs")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def peak_of(refusal):
    """The most memory, in MB, that a call takes until it raises ValueError, and the message."""
    tracemalloc.start()
    try:
        with pytest.raises(ValueError) as caught:
            refusal()
        return tracemalloc.get_traced_memory()[1] / 1e6, str(caught.value)
    finally:
        tracemalloc.stop()
