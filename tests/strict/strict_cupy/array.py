"""A device array."""

import functools
from types import SimpleNamespace

import numpy as np

from . import memory, recording
from .limits import STATS, StrictError, blas, sync, upload

IN_PLACE = {"fill", "sort", "partition", "put"}  # methods that change their array
WAITS = {"nonzero", "unique", "argwhere", "flatnonzero", "allclose", "array_equal"}
BLAS = {"matmul", "dot", "einsum", "tensordot", "inner", "vdot"}
PLAIN = {"shape", "strides", "dtype", "ndim", "size", "nbytes", "itemsize", "flags", "base"}
LACKS = {"ctypes", "getfield", "resize", "setfield", "setflags", "to_device"}


def inside(value, where):
    """The NumPy value inside, refusing host arrays."""
    if isinstance(value, ndarray):
        return value._a
    if isinstance(value, np.ndarray):
        raise StrictError(f"{where}: Unsupported type <class 'numpy.ndarray'> (host and device arrays mixed)")
    if isinstance(value, (list, tuple)):
        return type(value)(inside(item, where) for item in value)
    if isinstance(value, dict):
        return {key: inside(item, where) for key, item in value.items()}
    return value


def compute(where, function, *args, **kwargs):
    """A function of NumPy on what is inside. New memory is taken from the pool; a view shares that of its source."""
    held, named = inside(args, where), inside(kwargs, where)
    again = functools.partial(function, *held, **named)
    with np.errstate(all="ignore"):
        result = again()
    sources = [*_arrays(args), *_arrays(kwargs.values())]
    if isinstance(result, (tuple, list)):
        wrapped = [_wrap(item, sources) for item in result]
        fresh = [i for i, w in enumerate(wrapped) if isinstance(w, ndarray) and not _shared(w, sources)]
        recording.note([wrapped[i]._a for i in fresh], lambda: [found[i] for found in [again()] for i in fresh])
        return type(result)(wrapped)
    wrapped = _wrap(result, sources)
    if isinstance(wrapped, ndarray) and not _shared(wrapped, sources):
        recording.note([wrapped._a], lambda: [again()])
    return wrapped


def device(array, block=None):
    """A device array around a NumPy one; without a block, one is taken from the pool."""
    made = object.__new__(ndarray)
    made._a, made._block = array, memory.take(array.nbytes) if block is None else block
    return made


def _wrap(result, sources):
    """Reductions give 0-d arrays, never scalars."""
    if isinstance(result, np.generic):
        result = np.array(result)
    if not isinstance(result, np.ndarray):
        return result
    source = next((s for s in sources if np.may_share_memory(s._a, result)), None)
    return device(result, None if source is None else source._block)


def _shared(array, sources):
    return any(array._block is s._block for s in sources)


def _arrays(values):
    for value in values:
        if isinstance(value, ndarray):
            yield value
        elif isinstance(value, (list, tuple)):
            yield from _arrays(value)


class ndarray:
    """A device array."""

    __array_priority__ = 100
    __hash__ = None
    __array_ufunc__ = None  # `host + device` comes to our __radd__, which refuses

    def __array__(self, *_args, **_kwargs):
        raise StrictError("Implicit conversion to a NumPy array is not allowed. Please use `.get()`")

    def __array_function__(self, function, types, args, kwargs):
        if function.__name__ in ("ndim", "shape", "size"):  # these look at no number
            return function(args[0]._a)
        raise StrictError(f"np.{function.__name__} on a device array: call the array's own library")

    def get(self):
        sync(".get()")
        STATS["downloads"] += 1
        return self._a.copy()

    def set(self, host):
        if type(host) is not np.ndarray or (host.shape, host.dtype) != (self._a.shape, self._a.dtype):
            raise StrictError("set() takes a NumPy array of the same shape and dtype")
        upload("set()")
        self._a[...] = host

    def item(self):
        sync(".item()")
        return self._a.item()

    def tolist(self):
        return self.get().tolist()

    def __float__(self):
        sync("float()")
        return float(self._a)

    def __int__(self):
        sync("int()")
        return int(self._a)

    __index__ = __int__

    def __bool__(self):
        sync("bool() or if")
        return bool(self._a)

    def __len__(self):
        return len(self._a)

    def __iter__(self):
        return (self[i] for i in range(len(self._a)))

    def __repr__(self):
        return "strict" + repr(self._a)

    def __deepcopy__(self, memo):
        return self.copy()

    def __getitem__(self, key):
        _check_key(key, "getitem")
        return compute("getitem", _pick, self, key)

    def __setitem__(self, key, value):
        _check_key(key, "setitem")
        key, value = inside(key, "setitem"), inside(value, "setitem")
        if isinstance(key, np.ndarray) and key.dtype.kind in "iu" and np.unique(key).size != key.size:
            raise StrictError("duplicate indices in an assignment: their order is undefined on a GPU (use add.at)")
        recording.do(lambda: self._a.__setitem__(key, value))

    @property
    def data(self):
        return SimpleNamespace(ptr=self._a.ctypes.data)

    def __getattr__(self, name):
        if name in ("_a", "_block") or name.startswith("__"):
            raise AttributeError(name)
        if name in PLAIN:
            return getattr(self._a, name)
        if name in LACKS or not hasattr(self._a, name):
            raise AttributeError(f"'cupy.ndarray' object has no attribute {name!r}")
        if not callable(getattr(self._a, name)):
            return compute(name, getattr, self, name)

        def method(*args, **kwargs):
            check_keywords(name, kwargs, ("where", "initial"))
            if name in BLAS:
                blas(name)
            if name in WAITS:
                sync(name)
            if name in IN_PLACE:
                held, named = inside(args, name), inside(kwargs, name)
                return recording.do(lambda: getattr(self._a, name)(*held, **named))
            return compute(name, lambda a, *rest, **named: getattr(a, name)(*rest, **named), self, *args, **kwargs)

        return method


ndarray.__module__ = "strict_cupy"  # where backend.xp_of looks


def _pick(a, key):
    try:
        return a[key]
    except IndexError:
        if not recording.recording():
            raise  # CuPy would wrap around and say nothing
        keys = key if isinstance(key, tuple) else (key,)
        return a[tuple(np.zeros_like(k) if isinstance(k, np.ndarray) else k for k in keys)]  # garbage of the right shape


def _check_key(key, where):
    for part in key if isinstance(key, tuple) else (key,):
        if isinstance(part, (list, np.ndarray)):
            raise StrictError(f"{where} with a host list or array: a hidden upload")
        if isinstance(part, ndarray) and part._a.dtype == bool:
            sync("a boolean mask (its result's size depends on the data)")


def check_keywords(name, given, bad):
    for keyword in bad:
        if keyword in given:
            raise StrictError(f"{name}: CuPy's has no keyword {keyword}")


def _operator(name):
    in_place = name.startswith("__i") and name != "__invert__"

    def call(self, *others):
        if "matmul" in name:
            blas("matmul")
        if in_place:
            values = inside(others, name)
            recording.do(lambda: getattr(self._a, name)(*values))
            return self
        return compute(name, lambda a, *b: getattr(a, name)(*b), self, *others)

    return call


for _name in "add sub mul truediv floordiv mod pow matmul and or xor lshift rshift".split():
    for _side in ("", "r", "i"):
        setattr(ndarray, f"__{_side}{_name}__", _operator(f"__{_side}{_name}__"))
for _name in "neg pos abs invert lt le gt ge eq ne".split():
    setattr(ndarray, f"__{_name}__", _operator(f"__{_name}__"))
