"""cuBLAS's functions on host memory: columns side by side, leading dimensions and strides as documented, all checked."""

import ctypes

import numpy as np
from strict_cupy import recording


class Function:
    """Something that takes what a ctypes function takes."""

    def __init__(self, call):
        self.call, self.argtypes = call, None

    def __call__(self, *args):
        if self.argtypes is not None:
            assert len(args) == len(self.argtypes), (len(args), len(self.argtypes))
            args = [t.from_param(a) and getattr(a, "value", a) for a, t in zip(args, self.argtypes, strict=True)]
        return self.call(*args)


class Library:
    """cuBLAS without a GPU. Returns 7 (an invalid value) where the library would."""

    def __init__(self):
        self.calls, self.workspace, self.open = 0, None, 0
        self.cublasCreate_v2 = Function(self._create)
        self.cublasDestroy_v2 = Function(self._destroy)
        self.cublasSetStream_v2 = Function(lambda handle, stream: self._set(None))
        self.cublasSetWorkspace_v2 = Function(lambda handle, address, size: self._set(size))
        self.cublasGemmStridedBatchedEx = Function(self._gemm)

    def _create(self, handle):
        handle._obj.value, self.open = 1, self.open + 1
        return 0

    def _destroy(self, handle):
        self.open -= 1
        return 0

    def _set(self, workspace):
        self.workspace = workspace  # setting the stream takes it away
        return 0

    def _gemm(self, handle, op_a, op_b, m, n, k, alpha, a, type_a, lda, stride_a, b, type_b, ldb, stride_b, beta, c, type_c,
              ldc, stride_c, batch, compute, algorithm):  # fmt: skip
        self.calls += 1
        rows_a, columns_a = (k, m) if op_a else (m, k)
        rows_b, columns_b = (n, k) if op_b else (k, n)
        assert (type_a, type_b, type_c, algorithm) == (0, 0, 0, -1) and compute in (68, 77) and self.workspace
        if min(m, n, k, batch) < 1 or lda < rows_a or ldb < rows_b or ldc < m:
            return 7
        alpha, beta = (ctypes.c_float.from_address(z).value for z in (alpha, beta))
        A = _matrices(a, rows_a, columns_a, lda, stride_a, batch)
        B = _matrices(b, rows_b, columns_b, ldb, stride_b, batch)
        C = _matrices(c, m, n, ldc, stride_c, batch)
        A, B = A.swapaxes(1, 2) if op_a else A, B.swapaxes(1, 2) if op_b else B

        def multiply():
            C[...] = alpha * (A @ B) + (beta * C if beta else 0)  # with beta 0, what stood there is not looked at

        recording.do(multiply)
        return 0


def _matrices(address, rows, columns, lead, stride, batch):
    count = (batch - 1) * stride + (columns - 1) * lead + rows
    flat = np.ctypeslib.as_array((ctypes.c_float * count).from_address(address))
    return np.lib.stride_tricks.as_strided(flat, (batch, rows, columns), (4 * stride, 4, 4 * lead))
