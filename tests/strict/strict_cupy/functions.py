"""The functions that make device arrays and take them."""

import numpy as np

from . import recording
from .array import BLAS, WAITS, check_keywords, compute, device, inside, ndarray
from .limits import StrictError, blas, sync, upload

CHANGES_FIRST = {"copyto", "add.at", "maximum.at", "put", "fill_diagonal"}  # functions that change their first argument


def asarray(x, dtype=None, order=None, copy=None):
    """A device array; a host array or number is uploaded."""
    if isinstance(x, ndarray):
        return x if dtype is None or x.dtype == dtype else x.astype(dtype)
    if isinstance(x, (list, tuple)) and any(isinstance(item, ndarray) for item in x):
        return stack([asarray(item) for item in x])
    upload("asarray")
    return device(np.array(x, dtype=dtype))


def ascontiguousarray(x, dtype=None):
    """A device array whose rows lie one behind the other; x itself where it is one."""
    x = asarray(x, dtype)
    return x if x.flags.c_contiguous else compute("ascontiguousarray", np.ascontiguousarray, x)


def asnumpy(x):
    """A host array."""
    return x.get() if isinstance(x, ndarray) else np.asarray(x)


def stack(arrays, axis=0):
    """Device arrays on top of each other."""
    return compute("stack", np.stack, list(arrays), axis=axis)


def empty(shape, dtype=np.float64):
    """Memory as it comes: whoever reads it before writing gets NaN."""
    array = np.zeros(shape, dtype)
    if not recording.recording():
        recording.spoil(array)
    recording.keep(array)
    return device(array)


def empty_like(x, dtype=None):
    """As `empty`, of x's shape."""
    return empty(x.shape, x.dtype if dtype is None else dtype)


class Function:
    """A NumPy function with CuPy's restrictions."""

    def __init__(self, function, name):
        self.function, self.name = function, name

    def __call__(self, *args, **kwargs):
        if self.name in BLAS:
            blas(self.name)
        if self.name in WAITS or (self.name == "where" and len(args) == 1):
            sync(self.name)
        if isinstance(self.function, np.ufunc) and any(isinstance(a, list) for a in args):
            raise StrictError(f"{self.name}: Unsupported type <class 'list'>")
        check_keywords(self.name, kwargs, ("where", "initial", "like"))
        if self.name in CHANGES_FIRST or isinstance(kwargs.get("out"), ndarray):
            held, named = inside(args, self.name), inside(kwargs, self.name)
            recording.do(lambda: self.function(*held, **named))
            return kwargs.get("out")
        return compute(self.name, self.function, *args, **kwargs)

    def __getattr__(self, name):
        return Function(getattr(self.function, name), f"{self.name}.{name}")
