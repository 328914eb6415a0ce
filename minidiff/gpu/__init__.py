"""Fast versions of ops for CuPy arrays: kernels in CUDA C (kernels/*.cu) and the Python that launches them.

`ops.dispatch` looks in here for arrays whose library has `RawKernel`. What an op means is written in `ops`; tests tie
every function here to its reference there, on a card or, with the kernels run on the CPU, without one. A function
here is called with arguments that the op has checked. It returns NotImplemented where it does not take them, and the
reference runs.
"""

from .attention import attention
from .conv2d import conv2d
from .embedding import embedding
from .linear import linear
from .norm import group_norm, group_norm_silu

__all__ = ["attention", "conv2d", "embedding", "group_norm", "group_norm_silu", "linear"]
