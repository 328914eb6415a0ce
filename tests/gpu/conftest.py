"""The arrays the GPU room is tested on: the strict stand-in with kernels that run on the CPU, or CuPy on a card."""

import sys
from pathlib import Path

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
    import cublas_on_cpu
    import cuda_on_cpu
    import strict_cupy

    if cuda_on_cpu.COMPILER is None:
        pytest.skip("g++ is not installed, and the kernels are run through it")
    monkeypatch.setitem(sys.modules, "cupy", strict_cupy)
    monkeypatch.setattr(strict_cupy, "RawKernel", cuda_on_cpu.RawKernel, raising=False)
    monkeypatch.setattr(cuda_on_cpu.RawKernel, "backwards", request.param == "backwards")
    monkeypatch.setattr("minidiff.gpu.cublas.load", cublas_on_cpu.Library)
    for key in strict_cupy.STATS:
        strict_cupy.STATS[key] = 0
    return strict_cupy


@pytest.fixture
def rng():
    """Random shapes and numbers, the same ones every time."""
    return np.random.default_rng(0)


@pytest.fixture
def blas(xp):
    """An own cuBLAS handle: the library itself on a card, its functions on host memory without one."""
    from minidiff.gpu.cublas import Cublas

    made = Cublas(xp, xp.cuda.get_current_stream().ptr)
    yield made
    made.close()
