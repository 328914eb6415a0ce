"""Memory that a thread works in and uses again: fresh memory costs a page fault for every 4 KiB, each time.

What is returned here never leaves an op: a thread's next request of the same name gets the same bytes.
"""

import math
import threading

import numpy as np

_own = threading.local()


def scratch(name, shape, dtype):
    """An array of this thread's own, with whatever is in it. Good until the thread asks for `name` again."""
    buffers = _own.__dict__
    dtype = np.dtype(dtype)
    count = math.prod(shape)
    buffer = buffers.get(name)
    if buffer is None or buffer.nbytes < count * dtype.itemsize:
        buffer = buffers[name] = np.empty(count * dtype.itemsize, np.uint8)
    return buffer[: count * dtype.itemsize].view(dtype).reshape(shape)


def ones(count, dtype):
    """(count,) ones, to sum with a product. Not to be written to."""
    name = ("ones", dtype)
    row = _own.__dict__.get(name)
    if row is None or row.size < count:
        row = _own.__dict__[name] = np.ones(count, dtype)
    return row[:count]
