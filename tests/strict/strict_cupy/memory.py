"""CuPy's memory pool as far as it matters here: a block that was freed is handed out again, anything else is new memory.

Simpler than CuPy's in one way: a block is only reused for a request of its own size, rounded up to 512 bytes. A step that
asks for the same sizes every time, and lets go of them in time, needs nothing new from its second run on.
"""

import collections

from . import limits

UNIT = 512


class MemoryPool:
    """Blocks of memory."""

    def __init__(self):
        self.free, self.private = collections.Counter(), True

    def malloc(self, nbytes):
        """A block, held until nobody refers to it any more."""
        size = -(-max(nbytes, 1) // UNIT) * UNIT
        if self.free[size]:
            self.free[size] -= 1
        else:
            limits.allocation(size, self.private)
        return Block(self, size)


class Block:
    """Goes back to its pool when the last array in it is gone."""

    __slots__ = ("pool", "size")

    def __init__(self, pool, size):
        self.pool, self.size = pool, size

    def __del__(self):
        self.pool.free[self.size] += 1


common = MemoryPool()
common.private = False
_now = [common.malloc]


def take(nbytes):
    """A block from the pool in use."""
    return _now[-1](nbytes)


class using_allocator:
    """Inside, memory comes from this `malloc`."""

    def __init__(self, malloc):
        self.malloc = malloc

    def __enter__(self):
        _now.append(self.malloc)

    def __exit__(self, *_):
        _now.pop()
