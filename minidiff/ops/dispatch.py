"""Dispatch between an op's plain reference, written to be read, and a faster version of the same signature.

`@has_fast_version(check)` decorates a reference. An op first checks its arguments, once for all versions. Then the first
argument decides: for a NumPy array the function of the same name in `minidiff.cpu` is called; for an array of a library
with `RawKernel` (CuPy), the one in `minidiff.gpu`. If it does not take the arguments (another dtype, an
option, too little work), it returns NotImplemented and the reference runs. For other arrays, and for
ops without a fast version, the reference runs. It is also `ops.conv2d.reference`; inside `with plain():` nothing else runs.
"""

import functools
import inspect
from pathlib import Path
from typing import NamedTuple

from ..backend import fast_version, room_of
from ..settings import current
from ..settings import plain as plain  # `ops.dispatch.plain` is a public name


def has_fast_version(check):
    """Decorator of a plain op for which `minidiff.cpu` or `minidiff.gpu` holds a faster function of the same name.

    check  a function with the op's signature that raises for wrong arguments: no version checks them again
    """

    def decorate(reference):
        first = next(iter(inspect.signature(reference).parameters))
        check.__qualname__ = reference.__qualname__  # what Python calls the function when an argument is missing

        @functools.cache
        def fast(room):
            return room and fast_version(room, reference.__name__)

        @functools.wraps(reference)
        def op(*args, **kwargs):
            check(*args, **kwargs)
            version = None if current("plain") else fast(room_of(args[0] if args else kwargs[first]))
            answer = NotImplemented if version is None else version(*args, **kwargs)
            return reference(*args, **kwargs) if answer is NotImplemented else answer

        op.reference, op.check, op.fast = reference, check, fast
        return op

    return decorate


class Which(NamedTuple):
    """The function that runs for a call, the file and line where it starts, and the reason."""

    function: str
    file: str
    line: int
    why: str

    def __str__(self):
        return f"{self.function} ({self.file}:{self.line}): {self.why}"


def which(op, *args, **options):
    """Which version of an op runs for these arguments:   print(ops.which(ops.conv2d, x, w, padding=1))

    The arguments are those of the op. The fast version is called once to learn whether it takes them.   ->   Which
    Raises what the op raises for wrong arguments.
    """
    if not hasattr(op, "reference"):
        op(*args, **options)
        return _found(op, "there is only this version")
    op.check(*args, **options)
    room = room_of(args[0] if args else options[next(iter(inspect.signature(op).parameters))])
    fast = op.fast(room)
    if current("plain"):
        why = "inside `with plain()`, the reference runs"
    elif fast is None:
        why = f"no fast version in minidiff.{room}" if room else "no fast versions for arrays of this type"
    elif fast(*args, **options) is NotImplemented:
        why = f"{fast.__module__}.{fast.__name__} does not take these shapes, dtypes or options"
    else:
        return _found(fast, f"the fast version in minidiff.{room}")
    return _found(op.reference, why)


def _found(function, why):
    code, package = inspect.unwrap(function).__code__, Path(__file__).parents[2]
    file = Path(code.co_filename).resolve()
    file = file.relative_to(package) if file.is_relative_to(package) else file
    return Which(f"{function.__module__}.{function.__name__}", file.as_posix(), code.co_firstlineno, why)
