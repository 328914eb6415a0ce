"""Which version of an op runs: the plain reference that a reader reads, or a faster one of the same signature.

The array decides. `@has_fast_version` stands above a reference; when the first argument is a NumPy array, the function
of the same name in `minidiff.cpu` is asked first; when it is one of a library with `RawKernel` (CuPy), the one in
`minidiff.gpu`. It answers NotImplemented where it does not fit (another dtype, an odd option, a wrong argument) and then
the reference runs, or complains. Other arrays, and ops that the room has no version of, go straight to the reference,
which stays in reach as `ops.conv2d.reference`; `with plain():` runs nothing else.
"""

import functools
import inspect
from pathlib import Path
from typing import NamedTuple

from ..backend import fast_version, room_of
from ..settings import is_plain
from ..settings import plain as plain  # `ops.dispatch.plain` is a public name


def has_fast_version(reference):
    """Decorator of a plain op for which `minidiff.cpu` or `minidiff.gpu` holds a faster function of the same name."""
    fast, name = {}, next(iter(inspect.signature(reference).parameters))

    @functools.wraps(reference)
    def op(*args, **kwargs):
        first = args[0] if args else kwargs.get(name)  # the reference reports one that is missing
        room = None if is_plain() else room_of(first)
        if room is not None:
            if room not in fast:
                fast[room] = fast_version(room, reference.__name__)
            if fast[room] is not None:
                answer = fast[room](*args, **kwargs)
                if answer is not NotImplemented:
                    return answer
        return reference(*args, **kwargs)

    op.reference = reference
    return op


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
    reference = getattr(op, "reference", op)
    room = room_of(args[0] if args else options.get(next(iter(inspect.signature(reference).parameters))))
    fast = fast_version(room, reference.__name__) if room and reference is not op else None
    if reference is op:
        why = "there is only this version"
    elif is_plain():
        why = "inside `with plain()`, the reference runs"
    elif fast is None:
        why = f"no fast version in minidiff.{room}" if room else "no fast versions for arrays of this type"
    elif fast(*args, **options) is NotImplemented:
        why = f"{fast.__module__}.{fast.__name__} does not take these shapes, dtypes or options"
    else:
        return _found(fast, f"the fast version in minidiff.{room}")
    reference(*args, **options)
    return _found(reference, why)


def _found(function, why):
    code, package = inspect.unwrap(function).__code__, Path(__file__).parents[2]
    file = Path(code.co_filename).resolve()
    file = file.relative_to(package) if file.is_relative_to(package) else file
    return Which(f"{function.__module__}.{function.__name__}", file.as_posix(), code.co_firstlineno, why)
