"""Memory that a training step frees is kept for the next step: returned to the system, it costs a page fault for every 4 KiB.

The GNU C library returns what is free at the end of its heap, and a step ends with all activations freed. In a small
transformer the faults of the next step take a fifth of its time. Other systems and C libraries are left as they are.
"""

import functools
import os
import sys

import numpy as np

TRIM, MMAP = -1, -3  # M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of malloc.h
KEPT = (1 << 31) - 1  # bytes at the end of the heap that are not returned: the largest int
LARGEST = (1 << 28, 1 << 25)  # arrays up to 256 MiB come from the heap; older libraries allow 32 MiB
APART = 1 << 19  # bytes
CHOSEN = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES")  # environment variables of the C library


@functools.cache
def keep_freed_memory():
    """For the whole process, once. Does nothing where an environment variable already sets the C library's thresholds.

    ->   whether memory is kept
    """
    if sys.platform != "linux" or any(map(os.environ.get, CHOSEN)):
        return False
    mallopt = _c_function("mallopt")
    return mallopt is not None and any(mallopt(MMAP, size) for size in LARGEST) and bool(mallopt(TRIM, KEPT))


def return_freed_memory():
    """Return free pages to the system: what was freed before training begins is not needed again, and forks would copy it."""
    if sys.platform == "linux" and (trim := _c_function("malloc_trim")):
        trim(0)


def long_lived(size):
    """(size,) bytes that stay. On Linux, large ones do not come from the heap: between what is freed they would split it."""
    if sys.platform != "linux" or size < APART:
        return np.empty(size, np.uint8)
    import mmap  # a Python in a browser may have none

    return np.frombuffer(mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS), np.uint8)


def _c_function(name):
    import ctypes  # a Python in a browser has none

    return getattr(ctypes.CDLL(None), name, None)
