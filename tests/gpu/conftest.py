"""The arrays the GPU room is tested on: the strict emulator with kernels that run on the CPU, or CuPy on a card."""

import os

import emulators
import numpy as np
import pytest


@pytest.fixture(params=["forwards", "backwards", pytest.param("cupy", marks=pytest.mark.gpu)])
def xp(request, monkeypatch):
    """CuPy, or its emulator: every GPU test runs on both, and on the CPU in both orders of threads."""
    if request.param == "cupy":
        cupy = pytest.importorskip("cupy", reason="CuPy is not installed")
        if not cupy.is_available():
            pytest.skip("CuPy finds no usable GPU")
        if os.environ.get("MINIDIFF_NO_POOL"):  # one allocation an array: compute-sanitizer sees where it ends
            cupy.cuda.set_allocator(None)
        return cupy
    try:
        return emulators.install(monkeypatch, request.param == "backwards")
    except RuntimeError as error:
        pytest.skip(str(error))


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
