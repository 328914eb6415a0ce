"""Memory that a thread works in and uses again: fresh memory costs a page fault for every 4 KiB, each time.

What is returned here never leaves an op: a thread's next request of the same name gets the same bytes.
"""

import math
import threading

import numpy as np

from ..heap import long_lived


class _Own(threading.local):
    def __init__(self):
        self.buffers, self.views, self.rows = {}, {}, {}


_own = _Own()


def scratch(name, shape, dtype):
    """An array of this thread's own, with whatever is in it. Good until the thread asks for `name` again."""
    view = _own.views.get((name, shape, dtype))
    if view is None:
        size = math.prod(shape) * dtype.itemsize
        buffer = _own.buffers.get(name)
        if buffer is None or buffer.size < size:
            buffer = _own.buffers[name] = long_lived(size)
            _own.views = {key: kept for key, kept in _own.views.items() if key[0] != name}  # they hold the smaller one
        view = _own.views[name, shape, dtype] = buffer[:size].view(dtype).reshape(shape)
    return view


def ones(count, dtype):
    """(count,) ones, to sum with a product. Not to be written to."""
    return constants(1, count, dtype)


def constants(value, count, dtype):
    """(count,) of one value: NumPy's minimum of an array and a number takes four times as long as that of two arrays."""
    row = _own.rows.get((value, dtype))
    if row is None or row.size < count:
        row = _own.rows[value, dtype] = np.full(count, value, dtype)
    return row[:count]
