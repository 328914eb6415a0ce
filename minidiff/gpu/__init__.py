"""Fast versions of ops for CuPy arrays: kernels in CUDA C (kernels/*.cu) and the Python that launches them.

`ops.dispatch` calls these functions for arrays whose library has `RawKernel`. The references are in `ops`; tests compare
every function with its reference, on a GPU or with the kernels emulated on the CPU. The op has already checked the
arguments. A function returns NotImplemented for arguments that it does not support, and the reference runs.
"""

from .attention import attention
from .conv2d import conv2d
from .embedding import embedding
from .linear import linear
from .modulate import modulate
from .norm import group_norm, group_norm_silu

__all__ = ["attention", "conv2d", "embedding", "group_norm", "group_norm_silu", "linear", "modulate"]
