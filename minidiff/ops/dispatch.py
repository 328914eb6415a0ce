"""Which version of an op runs: the plain reference that a reader reads, or a faster one of the same signature.

The array decides. `@has_fast_version` stands above a reference; when the first argument is a NumPy array, the function
of the same name in `minidiff.cpu` is asked first; when it is one of a library with `RawKernel` (CuPy), the one in
`minidiff.gpu`. It answers NotImplemented where it does not fit (another dtype, an odd option, a wrong argument) and then
the reference runs, or complains. Other arrays, and ops that the room has no version of, go straight to the reference,
which stays in reach as `ops.conv2d.reference`; `with plain():` runs nothing else.
"""

import functools
import importlib
import inspect
import sys

import numpy as np

from .mode import current, setting


def plain():
    """Inside, every op of this thread or task is its plain reference: to compare, or to step through one in a debugger."""
    return setting(plain=True)


def is_plain():
    """Whether this thread or task is inside `with plain()`."""
    return bool(current("plain"))


def has_fast_version(reference):
    """Decorator of a plain op for which `minidiff.cpu` or `minidiff.gpu` holds a faster function of the same name."""
    fast, name = {}, next(iter(inspect.signature(reference).parameters))

    @functools.wraps(reference)
    def op(*args, **kwargs):
        first = args[0] if args else kwargs.get(name)  # the reference reports one that is missing
        room = None if is_plain() else _room(first)
        if room is not None:
            if room not in fast:  # a room is entered when first needed, so that importing minidiff stays quick
                fast[room] = getattr(importlib.import_module(room), reference.__name__, None)
            if fast[room] is not None:
                answer = fast[room](*args, **kwargs)
                if answer is not NotImplemented:
                    return answer
        return reference(*args, **kwargs)

    op.reference = reference
    return op


def _room(array):
    """Where fast versions for this array live, if anywhere."""
    if type(array) is np.ndarray:
        return "minidiff.cpu"
    library = sys.modules.get(type(array).__module__.partition(".")[0])
    return "minidiff.gpu" if hasattr(library, "RawKernel") else None
