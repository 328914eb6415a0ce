"""The arrays the GPU room is tested on: the strict stand-in with kernels that run on the CPU, or CuPy on a card."""

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

for folder in (Path(__file__).parent, Path(__file__).parent.parent / "strict"):
    sys.path.insert(0, str(folder))


@pytest.fixture(params=["forwards", "backwards", pytest.param("cupy", marks=pytest.mark.gpu)])
def xp(request, monkeypatch):
    """CuPy, or what stands for it: every GPU test runs on both, and on the CPU in both orders of threads."""
    if request.param == "cupy":
        cupy = pytest.importorskip("cupy", reason="CuPy is not installed")
        if not cupy.is_available():
            pytest.skip("CuPy finds no usable GPU")
        return cupy
    import cuda_on_cpu
    import strict_cupy

    if cuda_on_cpu.COMPILER is None:
        pytest.skip("g++ is not installed, and the kernels are run through it")
    monkeypatch.setitem(sys.modules, "cupy", strict_cupy)
    monkeypatch.setattr(strict_cupy, "RawKernel", cuda_on_cpu.RawKernel, raising=False)
    monkeypatch.setattr(strict_cupy, "empty", _poisoned, raising=False)
    monkeypatch.setattr(strict_cupy, "ascontiguousarray", _in_order)
    monkeypatch.setattr(cuda_on_cpu.RawKernel, "backwards", request.param == "backwards")
    return strict_cupy


def _poisoned(shape, dtype=np.float64):
    """Memory as it comes: whoever reads it before writing gets NaN."""
    import strict_cupy

    return strict_cupy._wrap(np.full(shape, np.nan if np.dtype(dtype).kind == "f" else -1, dtype))


def _in_order(x):
    import strict_cupy

    return x if x._a.flags.c_contiguous else strict_cupy._wrap(np.ascontiguousarray(x._a))


@pytest.fixture
def rng():
    """Random shapes and numbers, the same ones every time."""
    return np.random.default_rng(0)


@pytest.fixture
def blas(xp, monkeypatch):
    """An own cuBLAS handle: the library itself on a card, its functions on host memory without one."""
    from minidiff.gpu.cublas import Cublas

    if xp.__name__ == "cupy":
        made = Cublas(xp, xp.cuda.get_current_stream().ptr)
    else:
        import cublas_on_cpu

        address = property(lambda a: SimpleNamespace(ptr=a._a.ctypes.data))
        monkeypatch.setattr(xp.ndarray, "data", address, raising=False)
        made = Cublas(xp, library=cublas_on_cpu.Library())
    yield made
    made.close()
