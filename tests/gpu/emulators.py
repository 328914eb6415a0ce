"""CuPy's place taken by the emulators: the strict one for arrays, CUDA sources compiled for the CPU, cuBLAS on host memory."""

import sys
from pathlib import Path

HERE = Path(__file__).parent


def find():
    """Make the emulators importable: they lie in tests/gpu and tests/strict."""
    for folder in (HERE, HERE.parent / "strict"):
        if str(folder) not in sys.path:
            sys.path.insert(0, str(folder))


def install(patch, backwards=False):
    """`import cupy` gives the emulator until patch.undo().   patch: a pytest.MonkeyPatch   ->   the emulator

    backwards   run blocks and threads last to first. Raises RuntimeError where there is no g++ to compile the kernels with.
    """
    find()
    import cublas_on_cpu
    import cuda_on_cpu
    import strict_cupy

    if cuda_on_cpu.COMPILER is None:
        raise RuntimeError("g++ is not installed, and the kernels are run through it")
    patch.setitem(sys.modules, "cupy", strict_cupy)
    patch.setattr(strict_cupy, "RawKernel", cuda_on_cpu.RawKernel, raising=False)
    patch.setattr(cuda_on_cpu.RawKernel, "backwards", backwards)
    patch.setattr("minidiff.gpu.cublas.load", cublas_on_cpu.Library)
    for key in strict_cupy.STATS:
        strict_cupy.STATS[key] = 0
    return strict_cupy
