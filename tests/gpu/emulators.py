"""CuPy's place taken by the emulators: the strict one for arrays, CUDA sources compiled for the CPU, cuBLAS on host memory."""

import sys

import cublas_on_cpu
import cuda_on_cpu
import strict_cupy


def install(patch, backwards=False):
    """`import cupy` gives the emulator until patch.undo().   patch: a pytest.MonkeyPatch   ->   the emulator

    backwards   run blocks and threads last to first. Raises RuntimeError where there is no g++ to compile the kernels with.
    """
    if cuda_on_cpu.COMPILER is None:
        raise RuntimeError("g++ is not installed, and the kernels are run through it")
    patch.setitem(sys.modules, "cupy", strict_cupy)
    patch.setattr(strict_cupy, "RawKernel", cuda_on_cpu.RawKernel, raising=False)
    patch.setattr(cuda_on_cpu.RawKernel, "backwards", backwards)
    patch.setattr("minidiff.gpu.cublas.load", cublas_on_cpu.Library)
    for key in strict_cupy.STATS:
        strict_cupy.STATS[key] = 0
    return strict_cupy
