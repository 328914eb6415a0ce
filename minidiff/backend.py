"""Which array library holds an array, where its fast versions live, and how arrays move between host and device.

The array decides the library: `xp_of(x)` looks at the type of x and imports nothing, so the same function body runs
on NumPy and on CuPy. This is the only file outside `gpu/` that imports cupy, and it does so only when a device is named.
"""

import functools
import importlib
import sys

import numpy as np


def xp_of(*arrays):
    """The module that holds all the arrays: numpy, cupy, or another library with NumPy's names.

    Python scalars and None hold no library and are passed over; with nothing else, numpy.
    Raises TypeError when host and device arrays are mixed.
    """
    found = None
    for a in arrays:
        if a is None or isinstance(a, (bool, int, float)):
            continue
        module = sys.modules[type(a).__module__.partition(".")[0]]
        if found is not None and module is not found:
            raise TypeError(f"arrays of {found.__name__} and of {module.__name__} in one call: move them to one device first")
        found = module
    return found or np


def room_of(array):
    """The room with fast versions for this array: "cpu" for NumPy, "gpu" for a library with `RawKernel` (CuPy), else None."""
    if type(array) is np.ndarray:
        return "cpu"
    library = sys.modules.get(type(array).__module__.partition(".")[0])
    return "gpu" if hasattr(library, "RawKernel") else None


def fast_version(room, name):
    """The function `name` of "cpu", "gpu" or a module of these such as "gpu.rng"; None where there is none.

    `ops` and `rng` reach the rooms above them in this way alone. A room is imported at the first call, so that importing
    minidiff stays quick.
    """
    return getattr(importlib.import_module(f"minidiff.{room}"), name, None)


class Constant:
    """A host array that never changes and that every device gets a copy of once: a table, fixed frequencies.

    Uploaded where it is needed, a table would be uploaded in every step.
    """

    def __init__(self, values):
        self.values, self._copies = values, {}

    def beside(self, x, dtype=None):
        """The copy on x's device, in this dtype (None: its own)."""
        xp, dtype = xp_of(x), np.dtype(self.values.dtype if dtype is None else dtype)
        key = xp.__name__, dtype
        if key not in self._copies:
            self._copies[key] = xp.asarray(self.values.astype(dtype))
        return self._copies[key]


def to_numpy(x):
    """A NumPy array (on the host) with x's values; x itself when it is one already."""
    return x.get() if hasattr(x, "get") and not isinstance(x, (np.ndarray, dict)) else np.asarray(x)


def device_of(x):
    """The name of the device that an array is on: "cpu" or "cuda"."""
    return "cpu" if xp_of(x) is np else "cuda"


def module_of(device):
    """The array module for a device name: "cpu" -> numpy, "cuda" -> cupy.

    Raises ValueError for another name and RuntimeError, in one clear line, where no GPU can be used.
    """
    if device == "cpu":
        return np
    if device != "cuda":
        raise ValueError(f"device: got {device!r}, expected 'cpu' or 'cuda'")
    try:
        import cupy
    except ModuleNotFoundError:
        raise RuntimeError("device 'cuda' needs CuPy: pip install 'minidiff[cuda12]' (or cuda13)") from None
    except Exception as error:  # libraries that are missing or do not fit: anything may come, and over many lines
        raise RuntimeError(f"device 'cuda': CuPy is installed but does not import: {_in_one_line(error)}") from None
    trouble = _trouble(cupy)
    if trouble:
        raise RuntimeError(f"device 'cuda': CuPy is installed but {trouble}")
    return cupy


def use_device(device, number):
    """Compute on GPU `number` from now on, counted round where there are fewer; no effect for the device "cpu"."""
    xp = module_of(device)
    if number and xp is not np:
        xp.cuda.Device(number % xp.cuda.runtime.getDeviceCount()).use()


@functools.cache
def _trouble(cupy):
    """Why this CuPy cannot compute, or None: an old driver or a full card shows only when something is asked of it."""
    try:
        if not cupy.is_available():
            return "finds no usable NVIDIA GPU (driver missing?)"
        cupy.zeros(1)
    except Exception as error:
        return f"cannot use the GPU: {_in_one_line(error)}"


def _in_one_line(error):
    lines = [line.strip() for line in str(error).splitlines() if any(map(str.isalnum, line))]
    told = [line for line in lines if line.startswith(("ImportError", "OSError", "RuntimeError"))]  # CuPy's own, at the end
    return (told or lines or [type(error).__name__])[-1 if told else 0]


def to_device(x, device):
    """x on "cpu" or "cuda"; no copy when it is there already."""
    xp = module_of(device)
    return to_numpy(x) if xp is np else xp.asarray(x)
