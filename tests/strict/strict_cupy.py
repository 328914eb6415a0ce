"""A stand-in for CuPy without a GPU: NumPy inside, CuPy's manners outside.

Its arrays refuse to meet NumPy arrays, refuse to become one silently, offer only names that CuPy 14 has, give 0-d arrays
from reductions, and count what costs time on a real card: uploads, downloads, synchronisations, allocations. Inside
`no_sync()` and `capturing()` they raise where CuPy would stall or fail. Code that runs on these arrays and gives NumPy's
numbers decides everything by the array it holds.
"""

import contextlib
import json
from pathlib import Path

import numpy as np

NAMES = frozenset(json.loads(Path(__file__).with_name("cupy_names.json").read_text()))  # dir(cupy) of CuPy 14.2
STATS = dict(syncs=0, uploads=0, downloads=0, allocations=0)
_forbidden = {"sync": False, "capture": False}


class StrictError(TypeError):
    """What CuPy would refuse, or should not be asked to do here."""


def is_available():
    """There is always a stand-in."""
    return True


@contextlib.contextmanager
def no_sync():
    """Inside, anything that would make the host wait for the device raises."""
    with _forbid("sync"):
        yield


@contextlib.contextmanager
def capturing():
    """Inside, as in the capture of a CUDA graph: no synchronisation, no upload, no cuBLAS call."""
    with _forbid("sync"), _forbid("capture"):
        yield


@contextlib.contextmanager
def _forbid(what):
    before, _forbidden[what] = _forbidden[what], True
    try:
        yield
    finally:
        _forbidden[what] = before


def _sync(what):
    STATS["syncs"] += 1
    if _forbidden["sync"]:
        raise StrictError(f"{what} makes the host wait for the device")


def _upload(what):
    STATS["uploads"] += 1
    if _forbidden["capture"]:
        raise StrictError(f"{what}: host-to-device copy while capturing")


def _blas(name):
    if _forbidden["capture"]:
        raise NotImplementedError(f"{name}: calling cuBLAS API during stream capture is currently unsupported")


def _inside(value, where):
    """The NumPy value inside, refusing host arrays."""
    if isinstance(value, ndarray):
        return value._a
    if isinstance(value, np.ndarray):
        raise StrictError(f"{where}: Unsupported type <class 'numpy.ndarray'> (host and device arrays mixed)")
    if isinstance(value, (list, tuple)):
        return type(value)(_inside(item, where) for item in value)
    if isinstance(value, dict):
        return {key: _inside(item, where) for key, item in value.items()}
    return value


def _wrap(result):
    """A device array around a NumPy result; reductions give 0-d arrays, never scalars."""
    if isinstance(result, (tuple, list)):
        return type(result)(map(_wrap, result))
    if isinstance(result, np.generic):
        result = np.asarray(result)
    if not isinstance(result, np.ndarray):
        return result
    STATS["allocations"] += result.base is None
    array = object.__new__(ndarray)
    array._a = result
    return array


class ndarray:
    """A device array."""

    __array_priority__ = 100
    __hash__ = None
    __array_ufunc__ = None  # `host + device` comes to our __radd__, which refuses

    def __array__(self, *_args, **_kwargs):
        raise StrictError("Implicit conversion to a NumPy array is not allowed. Please use `.get()`")

    def __array_function__(self, function, types, args, kwargs):
        if function.__name__ in ("ndim", "shape", "size") and function.__name__ in NAMES:  # these look at no number
            return function(args[0]._a)
        raise StrictError(f"np.{function.__name__} on a device array: call the array's own library")

    def get(self):
        _sync(".get()")
        STATS["downloads"] += 1
        return self._a.copy()

    def set(self, host):
        if type(host) is not np.ndarray:
            raise StrictError("set() takes a NumPy array")
        _upload("set()")
        self._a[...] = host

    def item(self):
        _sync(".item()")
        return self._a.item()

    def tolist(self):
        return self.get().tolist()

    def __float__(self):
        _sync("float()")
        return float(self._a)

    def __int__(self):
        _sync("int()")
        return int(self._a)

    __index__ = __int__

    def __bool__(self):
        _sync("bool() or if")
        return bool(self._a)

    def __len__(self):
        return len(self._a)

    def __iter__(self):
        return (self[i] for i in range(len(self._a)))

    def __repr__(self):
        return "strict" + repr(self._a)

    def __getitem__(self, key):
        return _wrap(self._a[_key(key, "getitem")])

    def __setitem__(self, key, value):
        key = _key(key, "setitem")
        if isinstance(key, np.ndarray) and key.dtype.kind in "iu" and np.unique(key).size != key.size:
            raise StrictError("duplicate indices in an assignment: their order is undefined on a GPU (use add.at)")
        self._a[key] = _inside(value, "setitem")

    def __getattr__(self, name):
        if name == "_a" or name.startswith("__"):
            raise AttributeError(name)
        value = getattr(self._a, name)
        if name in ("shape", "strides", "dtype", "ndim", "size", "nbytes", "itemsize", "flags", "base"):
            return value
        if name in ("ctypes", "data", "resize", "setflags", "byteswap", "searchsorted"):
            raise AttributeError(f"'cupy.ndarray' object has no attribute {name!r}")
        if not callable(value):
            return _wrap(value)

        def method(*args, **kwargs):
            for bad in ("where", "initial"):
                if bad in kwargs:
                    raise StrictError(f"{name}: CuPy's has no keyword {bad}")
            if name in ("dot",):
                _blas(name)
            if name == "nonzero":
                _sync(name)
            return _wrap(value(*_inside(args, name), **_inside(kwargs, name)))

        return method


def _key(key, where):
    for part in key if isinstance(key, tuple) else (key,):
        if isinstance(part, (list, np.ndarray)):
            raise StrictError(f"{where} with a host list or array: a hidden upload")
        if isinstance(part, ndarray) and part._a.dtype == bool:
            _sync("a boolean mask (its result's size depends on the data)")
    return _inside(key, where)


def _operator(name):
    def call(self, *others):
        if "matmul" in name:
            _blas("matmul")
        values = [_inside(other, name) for other in others]
        result = getattr(self._a, name)(*values)
        return self if name.startswith("__i") and name != "__invert__" else _wrap(result)

    return call


for _name in "add sub mul truediv floordiv mod pow matmul and or xor lshift rshift".split():
    for _side in ("", "r", "i"):
        setattr(ndarray, f"__{_side}{_name}__", _operator(f"__{_side}{_name}__"))
for _name in "neg pos abs invert lt le gt ge eq ne".split():
    setattr(ndarray, f"__{_name}__", _operator(f"__{_name}__"))


def asarray(x, dtype=None, order=None, copy=None):
    """A device array; a host array or number is uploaded."""
    if isinstance(x, ndarray):
        return x if dtype is None or x.dtype == dtype else _wrap(x._a.astype(dtype))
    if isinstance(x, (list, tuple)) and any(isinstance(item, ndarray) for item in x):
        return stack([asarray(item) for item in x])  # noqa: F821 - comes from __getattr__ below
    _upload("asarray")
    return _wrap(np.array(x, dtype=dtype))


array = asarray


def ascontiguousarray(x, dtype=None):
    """A device array whose rows lie one behind the other."""
    return _wrap(np.ascontiguousarray(asarray(x, dtype)._a))


def asnumpy(x):
    """A host array."""
    return x.get() if isinstance(x, ndarray) else np.asarray(x)


def stack(arrays, axis=0):
    """Device arrays on top of each other."""
    return _wrap(np.stack(_inside(list(arrays), "stack"), axis=axis))


class _Function:
    """A NumPy function with CuPy's restrictions."""

    WAITS = {"nonzero", "unique", "argwhere", "flatnonzero", "allclose", "array_equal"}
    BLAS = {"matmul", "dot", "einsum", "tensordot", "inner", "vdot"}

    def __init__(self, function, name):
        self.function, self.name = function, name

    def __call__(self, *args, **kwargs):
        if self.name in self.BLAS:
            _blas(self.name)
        if self.name in self.WAITS or (self.name == "where" and len(args) == 1):
            _sync(self.name)
        if isinstance(self.function, np.ufunc) and any(isinstance(a, list) for a in args):
            raise StrictError(f"{self.name}: Unsupported type <class 'list'>")
        for bad in {"where", "initial", "like"} & kwargs.keys():
            raise StrictError(f"{self.name}: CuPy's has no keyword {bad}")
        out = kwargs.get("out")
        result = self.function(*_inside(args, self.name), **_inside(kwargs, self.name))
        return out if isinstance(out, ndarray) else _wrap(result)

    def __getattr__(self, name):
        return _Function(getattr(self.function, name), f"{self.name}.{name}")


def __getattr__(name):
    if name.startswith("__") or name not in NAMES:
        raise AttributeError(f"module 'cupy' has no attribute {name!r}")
    value = getattr(np, name)
    if isinstance(value, type):
        if issubclass(value, np.generic):
            return value
        raise AttributeError(name)
    return _Function(value, name) if callable(value) else value
