"""A stand-in for CuPy without a GPU: NumPy inside, CuPy's manners outside.

Its arrays refuse to meet NumPy arrays, refuse to become one silently, offer only names that CuPy 14 has, give 0-d arrays
from reductions, and count what costs time on a real card: uploads, downloads, synchronisations, allocations. Inside
`no_sync()`, `no_allocation()` and `capturing()` they raise where CuPy would stall, grow or fail. A stream's capture
records what is asked of the arrays, without doing it, and the graph does it again in the same memory: see `recording`.

Code that runs on these arrays and gives NumPy's numbers decides everything by the array it holds.
"""

import json
from pathlib import Path

import numpy as np

from . import cuda
from .array import ndarray
from .functions import Function, asarray, ascontiguousarray, asnumpy, empty, empty_like, stack
from .limits import STATS, CaptureError, StrictError, capturing, no_allocation, no_sync

__all__ = [
    "STATS", "CaptureError", "StrictError", "array", "asarray", "ascontiguousarray", "asnumpy", "capturing", "cuda", "empty",
    "empty_like", "is_available", "ndarray", "no_allocation", "no_sync", "stack",
]  # fmt: skip

NAMES = frozenset(json.loads(Path(__file__).with_name("cupy_names.json").read_text()))  # dir(cupy) of CuPy 14.2
array = asarray


def is_available():
    """There is always a stand-in."""
    return True


def __getattr__(name):
    if name.startswith("__") or name not in NAMES:
        raise AttributeError(f"module 'cupy' has no attribute {name!r}")
    value = getattr(np, name)
    if isinstance(value, type):
        if issubclass(value, np.generic):
            return value
        raise AttributeError(name)
    return Function(value, name) if callable(value) else value
