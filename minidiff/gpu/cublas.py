"""A separate cuBLAS handle: CuPy raises for its handle during CUDA graph capture, although cuBLAS supports it.

One function is enough, cublasGemmStridedBatchedEx. cuBLAS is column-major, so a product of row-major arrays,
C = A B, is passed as C^T = B^T A^T: the same memory, the factors exchanged.
"""

import ctypes

import numpy as np

FLOAT32, COMPUTE, COMPUTE_TF32, DEFAULT_ALGORITHM = 0, 68, 77, -1  # CUDA_R_32F, CUBLAS_COMPUTE_32F[_FAST_TF32]
PLAIN, TRANSPOSED = 0, 1
WORKSPACE = 32 << 20  # bytes; NVIDIA's advice for Hopper. Without this workspace cuBLAS would allocate during capture

_int, _long, _pointer = ctypes.c_int, ctypes.c_longlong, ctypes.c_void_p
_MATRIX = [_pointer, _int, _int, _long]  # address, type, leading dimension, stride from one of the batch to the next
_GEMM = [_pointer, _int, _int, _int, _int, _int, _pointer, *_MATRIX, *_MATRIX, _pointer, *_MATRIX, _int, _int, _int]


def load():
    """The cuBLAS that CuPy uses, as a ctypes library. Raises RuntimeError in one line where there is none."""
    try:
        from cuda import pathfinder

        return ctypes.CDLL(pathfinder.load_nvidia_dynamic_lib("cublas").abs_path)
    except Exception as error:
        raise RuntimeError(f"cuBLAS cannot be loaded (it comes with cupy-cuda12x[ctk]): {error}") from None


class Cublas:
    """A handle.   xp: the array module   stream: address of the CUDA stream, on which
    everything around its products has to run   tf32: 10-bit factors, three times as fast

    library: for tests, an object with cuBLAS's functions. `close()` releases the handle.
    """

    def __init__(self, xp, stream=0, tf32=False, library=None):
        self.xp, self.compute = xp, COMPUTE_TF32 if tf32 else COMPUTE
        self.library = library = load() if library is None else library
        library.cublasGemmStridedBatchedEx.argtypes = _GEMM
        library.cublasSetStream_v2.argtypes = [_pointer, _pointer]
        library.cublasSetWorkspace_v2.argtypes = [_pointer, _pointer, ctypes.c_size_t]
        library.cublasDestroy_v2.argtypes = [_pointer]
        self.handle = ctypes.c_void_p()
        _check("cublasCreate", library.cublasCreate_v2(ctypes.byref(self.handle)))
        self.workspace = xp.empty(WORKSPACE // 4, np.float32)
        _check("cublasSetStream", library.cublasSetStream_v2(self.handle, stream))  # forgets the workspace: hence first
        _check("cublasSetWorkspace", library.cublasSetWorkspace_v2(self.handle, _address(self.workspace), WORKSPACE))

    def close(self):
        """Release the handle."""
        if self.handle:
            self.library.cublasDestroy_v2(self.handle)
            self.handle = ctypes.c_void_p()

    def matmul(self, a, b):
        """a @ b.   float32 (M, K) @ (K, N), or (n, M, K) @ (n, K, N); each in order, or transposed in its last two axes"""
        if a.ndim not in (2, 3) or a.ndim != b.ndim or a.shape[:-2] != b.shape[:-2] or a.shape[-1] != b.shape[-2]:
            raise ValueError(f"matmul: {a.shape} @ {b.shape} do not fit (2 or 3 axes, the same batch)")
        M, K, N = a.shape[-2], a.shape[-1], b.shape[-1]
        out = self.xp.empty((*a.shape[:-1], N), np.float32)
        (op_a, lead_a), (op_b, lead_b) = _layout(a), _layout(b)
        factors = (_address(b), lead_b, K * N), (_address(a), lead_a, M * K)
        self.gemm(op_b, op_a, N, M, K, *factors, (_address(out), N, M * N), batch=a.size // (M * K))
        return out

    def gemm(self, op_a, op_b, m, n, k, a, b, c, beta=0.0, batch=1):
        """The call of cuBLAS: c = op(a) op(b) + beta c, column-major, op(a) (m, k), op(b) (k, n), `batch` times.

        a, b, c are (address, leading dimension, stride between two of the batch), counted in numbers.
        """
        one, beta = ctypes.c_float(1.0), ctypes.c_float(beta)
        matrices = [(address, FLOAT32, lead, stride) for address, lead, stride in (a, b, c)]
        status = self.library.cublasGemmStridedBatchedEx(
            self.handle, op_a, op_b, m, n, k, ctypes.addressof(one), *matrices[0], *matrices[1], ctypes.addressof(beta),
            *matrices[2], batch, self.compute, DEFAULT_ALGORITHM,
        )  # fmt: skip
        _check(f"cublasGemmStridedBatchedEx (m={m}, n={n}, k={k}, batch={batch})", status)


def _address(a):
    return a.data.ptr


def _layout(z):
    """How cuBLAS reads z's memory: as it is, or transposed; and the length of a row there."""
    if z.dtype != np.float32:
        raise TypeError(f"matmul: got {z.dtype}, expected float32")
    if z.flags.c_contiguous:
        return PLAIN, z.shape[-1]
    if z.swapaxes(-1, -2).flags.c_contiguous:
        return TRANSPOSED, z.shape[-2]
    raise ValueError(f"matmul: strides {z.strides}, expected an array in order or transposed in its last two axes")


def _check(what, status):
    if status:
        raise RuntimeError(f"{what} failed with cuBLAS status {status}")
