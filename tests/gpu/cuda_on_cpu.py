"""`RawKernel` without a GPU: CUDA C compiled by g++ against cuda_on_cpu.h, with CuPy's call signature and its manners.

The kernels of a source are compiled together, once for each set of flags; the library is kept in the temporary folder.
"""

import ctypes
import functools
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np
from strict_cupy import recording

HEADER = Path(__file__).with_name("cuda_on_cpu.h")
COMPILER = shutil.which("g++")
SANITIZE = ("-fsanitize=address,undefined", "-fno-sanitize-recover=undefined", "-g1")  # g1: lines
KERNEL = re.compile(r'extern "C" __global__ void (?:__launch_bounds__\(\w+\) )?(\w+)\(([^)]*)\)')
LIMITS = (1024, 1024, 64)  # threads of a block along each axis, and 1024 in all

SCALARS = {"float": np.float32, "double": np.float64, "int": np.int32, "unsigned": np.uint32, "unsigned int": np.uint32,
           "long long": np.int64, "unsigned long long": np.uint64, "size_t": np.uint64}  # fmt: skip


class RawKernel:
    """The kernel `name` of `code`, as cupy.RawKernel.   kernel(grid, block, args)

    backwards  class attribute: run blocks and threads from last to first, to shake out results that hang on the order
    """

    backwards = False
    sanitize = bool(os.environ.get("MINIDIFF_SANITIZE"))

    def __init__(self, code, name, options=(), backend="nvrtc"):
        kernels = _kernels(code)
        if name not in kernels:
            raise ValueError(f"no kernel {name} in the source")
        self.name, self.types = name, kernels[name]
        self._launch = getattr(_compiled(code, self.sanitize), f"launch_{name}")
        self._launch.restype = ctypes.c_char_p

    def __call__(self, grid, block, args, shared_mem=0):
        grid, block = (tuple(n) + (1,) * (3 - len(n)) for n in (grid, block))
        if min(grid + block) < 1 or np.prod(block) > 1024 or any(n > m for n, m in zip(block, LIMITS, strict=True)):
            raise ValueError(f"{self.name}: grid {grid} of blocks {block} is more than a card takes, or none at all")
        if max(grid[1:]) > 65535 or shared_mem:
            raise ValueError(f"{self.name}: grid {grid}, or dynamic shared memory, which these kernels do without")
        if len(args) != len(self.types):
            raise TypeError(f"{self.name}: {len(args)} arguments for {len(self.types)} parameters")
        held = [self._argument(i, a, t) for i, (a, t) in enumerate(zip(args, self.types, strict=True))]
        pointers = (ctypes.c_void_p * len(held))(*(ctypes.addressof(h) for h in held))
        shape, backwards = (ctypes.c_uint * 6)(*grid, *block), int(self.backwards)

        def run(held=held):  # held: what the pointers point to
            wrong = self._launch(pointers, shape, backwards)
            if wrong:
                raise RuntimeError(f"{self.name}: {wrong.decode()}")

        recording.do(run)

    def _argument(self, i, value, type_):
        where = f"{self.name}: argument {i} ({type_})"
        if type_.endswith("*"):
            if isinstance(value, np.uintp) and value == 0:
                return ctypes.c_void_p(0)  # a null pointer
            if type(value).__name__ != "ndarray" or isinstance(value, np.ndarray):
                raise TypeError(f"{where}: {type(value).__name__}, expected a device array")
            array = value._a
            if array.dtype != SCALARS[type_[:-1]]:
                raise TypeError(f"{where}: an array of {array.dtype}; CuPy would not notice")
            if not array.flags.c_contiguous:
                raise TypeError(f"{where}: strides {array.strides}; a kernel sees memory, not strides")
            return ctypes.c_void_p(array.ctypes.data)
        if not isinstance(value, SCALARS[type_]):  # CuPy passes a Python float as a double and an int as a long
            raise TypeError(f"{where}: a {type(value).__name__}, which CuPy would pass with another width")
        return np.ctypeslib.as_ctypes_type(SCALARS[type_])(value.item())


def _type_of(parameter):
    """ "const float* __restrict__ x" -> "float*" """
    words = re.sub(r"\b(const|__restrict__)\b", "", parameter).strip()
    return re.sub(r"\s+", " ", re.sub(r"\w+$", "", words)).replace(" *", "*").strip()


def _kernels(code):
    """{name: types of its parameters} of the kernels of a source."""
    return {name: [_type_of(p) for p in parameters.split(",")] for name, parameters in KERNEL.findall(code)}


@functools.cache
def _compiled(code, sanitize):
    """The library of a source's kernels: launch_NAME for each."""
    if COMPILER is None:
        raise RuntimeError("g++ is not installed")
    source = f'#include "{HEADER.name}"\n{code}\n'
    for name, types in _kernels(code).items():
        unpacked = ", ".join(f"*({t}*)a[{i}]" for i, t in enumerate(types))
        source += f"""
static void call_{name}(void** a) {{ {name}({unpacked}); }}
extern "C" const char* launch_{name}(void** a, unsigned* d, int backwards) {{
  return cpu::launch(call_{name}, a, {{d[0], d[1], d[2]}}, {{d[3], d[4], d[5]}}, backwards);
}}
"""
    flags = ("-std=c++17", "-O1", "-w", "-U_FORTIFY_SOURCE", "-shared", "-fPIC", *(SANITIZE if sanitize else ()))
    key = hashlib.sha256((source + HEADER.read_text() + str(flags)).encode()).hexdigest()[:20]
    folder = Path(tempfile.gettempdir()) / f"minidiff-cuda-on-cpu-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    library = folder / f"{key}.so"
    if not library.exists():
        new = folder / f"{key}-{os.getpid()}"
        new.with_suffix(".cpp").write_text(source)
        command = [COMPILER, *flags, f"-I{HEADER.parent}", str(new.with_suffix(".cpp")), "-o", str(new)]
        made = subprocess.run(command, capture_output=True, text=True)
        new.with_suffix(".cpp").unlink()
        if made.returncode:
            raise RuntimeError(f"{', '.join(_kernels(code))} does not compile:\n{made.stderr}")
        os.replace(new, library)
    return ctypes.CDLL(str(library))
