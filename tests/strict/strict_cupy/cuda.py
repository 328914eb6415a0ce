"""cupy.cuda: streams, events, graphs, pools. Everything runs at once here, so waiting for an event costs nothing."""

import itertools
from types import SimpleNamespace

from . import limits
from .memory import MemoryPool, using_allocator
from .recording import Capture, Graph

__all__ = ["Device", "Event", "Graph", "MemoryPool", "Stream", "get_current_stream", "nccl", "runtime", "using_allocator"]

_numbers = itertools.count()


runtime = SimpleNamespace(getDeviceCount=lambda: 2)  # a machine with two cards
nccl = SimpleNamespace(available=False)


class Device:
    """A card; `use` makes it the current one of this process."""

    current = 0

    def __init__(self, number):
        if not 0 <= number < runtime.getDeviceCount():
            raise limits.StrictError(f"cudaErrorInvalidDevice: {number}")
        self.id = number

    def use(self):
        Device.current = self.id


class Stream:
    """A stream; `with stream:` makes it the current one."""

    def __init__(self, null=False, non_blocking=False):
        self.ptr, self._capture = next(_numbers), Capture()

    def __enter__(self):
        _current.append(self)
        return self

    def __exit__(self, *_):
        _current.pop()

    def begin_capture(self, mode=None):
        self._capture.begin()

    def end_capture(self):
        return self._capture.end()

    def synchronize(self):
        limits.sync("Stream.synchronize()")

    def wait_event(self, event):
        if not event.recorded:
            raise limits.StrictError("an event that was never recorded")


class Event:
    """An event."""

    def __init__(self, block=False, disable_timing=False, interprocess=False):
        self.recorded = False

    def record(self, stream=None):
        self.recorded = True

    def synchronize(self):
        limits.sync("Event.synchronize()")


_current = [Stream(null=True)]


def get_current_stream():
    """The stream on which work is put."""
    return _current[-1]
