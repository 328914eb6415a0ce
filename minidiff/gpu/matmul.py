"""The matrix product of all functions in `gpu`: CuPy's, or, inside `with using(blas)`, one that a CUDA graph can hold."""

import contextlib
import threading

_now = threading.local()


@contextlib.contextmanager
def using(blas):
    """Context manager: this thread's products use `blas` (a gpu.cublas.Cublas), because CuPy's handle raises during capture."""
    before, _now.blas = handle(), blas
    try:
        yield blas
    finally:
        _now.blas = before


def handle():
    """The `blas` of `using`, or None."""
    return getattr(_now, "blas", None)


def matmul(a, b):
    """a @ b of float32 arrays, (M, K) @ (K, N) or batches of those, each in order or transposed.   -> (..., M, N)"""
    blas = handle()
    return a @ b if blas is None else blas.matmul(a, b)
