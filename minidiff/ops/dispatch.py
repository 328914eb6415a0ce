"""Which version of an op runs: the plain reference that a reader reads, or a faster one of the same signature.

The array decides. `@has_fast_version` stands above a reference; when the first argument is a NumPy array, the function
of the same name in `minidiff.cpu` is asked first. It answers NotImplemented where it does not fit (another dtype, an odd
option, a wrong argument) and then the reference runs, or complains. Arrays of any other type go straight to the
reference, which stays in reach as `ops.conv2d.reference`; `with plain():` runs nothing else.
"""

import contextlib
import functools
import importlib
import threading

import numpy as np

_mode = threading.local()


@contextlib.contextmanager
def plain():
    """Inside, every op of this thread is its plain reference: to compare, or to step through one in a debugger."""
    before, _mode.plain = getattr(_mode, "plain", False), True
    try:
        yield
    finally:
        _mode.plain = before


def has_fast_version(reference):
    """Decorator of a plain op for which `minidiff.cpu` holds a faster function of the same name and signature."""
    fast = None

    @functools.wraps(reference)
    def op(first, *args, **kwargs):
        nonlocal fast
        if type(first) is np.ndarray and not getattr(_mode, "plain", False):
            if fast is None:  # the room is entered when first needed, so that importing minidiff stays quick
                fast = getattr(importlib.import_module("minidiff.cpu"), reference.__name__)
            answer = fast(first, *args, **kwargs)
            if answer is not NotImplemented:
                return answer
        return reference(first, *args, **kwargs)

    op.reference = reference
    return op
