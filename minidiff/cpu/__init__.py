"""Fast versions of ops for NumPy arrays: the same functions, cut into pieces that stay in a core's cache, on threads.

Only `ops.dispatch` looks in here, and only for plain NumPy arrays. What an op means is
written in `ops`; a test ties every function here to its reference there. A function here is called with arguments that the
op has checked. It returns NotImplemented where it does not take them, and the reference runs.
"""

from ..thread_team import get_threads, set_threads, threads
from .activation import silu
from .attention import attention
from .conv2d import conv2d
from .gelu import gelu
from .gelu_tanh import gelu_tanh
from .linear import linear
from .modulate import modulate
from .norm import group_norm, group_norm_silu
from .resample import upsample_nearest
from .winograd import set_winograd

__all__ = [
    "attention", "conv2d", "gelu", "gelu_tanh", "get_threads", "group_norm", "group_norm_silu", "linear", "modulate",
    "set_threads", "set_winograd", "silu", "threads", "upsample_nearest",
]  # fmt: skip
