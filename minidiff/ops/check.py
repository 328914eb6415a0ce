"""Argument validation with uniform error messages: the op, the argument, the value received and the one expected."""

import numpy as np

from ..backend import xp_of
from ..settings import is_complex_step

FLOATS = {np.dtype("float32"), np.dtype("float64")}
REAL = {np.dtype("complex64"): np.dtype("float32"), np.dtype("complex128"): np.dtype("float64")}


def shape(op, name, array, expected, holds, *values):
    """Raise ValueError unless `holds`: `name` of `op` has a shape other than `expected` (words or a tuple).

    values  what replaces each {} in the words, which are formatted only when the check fails
    """
    if not holds:
        expected = expected.format(*values) if values else expected
        raise ValueError(f"{op}: {name} has shape {tuple(array.shape)}, expected {expected}")


def floats(op, **arrays):
    """Raise TypeError unless all arrays (None is skipped) are floating point of one dtype in one library.

    Complex arrays pass while a derivative is taken by a complex step, and at no other time.
    """
    common = None
    for a in arrays.values():
        if a is not None:
            this = type(a), getattr(a, "dtype", None)
            if this != (common or this):
                break
            common = this
    else:
        if common is not None and (common[1] in FLOATS or (common[1] in REAL and is_complex_step())):  # as nearly always
            return
    given = {name: a for name, a in arrays.items() if a is not None}
    for name, a in given.items():
        if getattr(a, "dtype", None) is None:
            raise TypeError(f"{op}: {name} is a {type(a).__name__}, expected an array")
    (first, a), *rest = given.items()
    kinds, real = ("fc", REAL) if is_complex_step() else ("f", {})
    if a.dtype.kind not in kinds:
        raise TypeError(f"{op}: {first} has dtype {a.dtype}, expected a floating-point array")
    for name, other in rest:
        if real.get(other.dtype, other.dtype) != real.get(a.dtype, a.dtype):
            raise TypeError(f"{op}: {name} is {other.dtype} but {first} is {a.dtype}; an op works in one dtype")
    xp_of(*given.values())
