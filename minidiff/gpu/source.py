"""Kernels by name: the CUDA sources beside this file, compiled at the first call, by any library that can run them."""

import functools
from pathlib import Path

import numpy as np

KERNELS = {  # name: its file
    "group_norm_forward": "group_norm.cu",
    "group_norm_backward": "group_norm.cu",
    "embedding_backward": "embedding.cu",
    "adamw_ema": "adamw_ema.cu",
    "end_of_step": "adamw_ema.cu",
    "sum_of_squares": "adamw_ema.cu",
    "clip_scale": "adamw_ema.cu",
    "im2col": "im2col.cu",
    "col2im": "im2col.cu",
    "to_rows": "row_layout.cu",
    "from_rows": "row_layout.cu",
    "modulate_forward": "modulate.cu",
    "modulate_backward": "modulate.cu",
    "modulate_sums": "modulate.cu",
    "softmax_forward": "softmax.cu",
    "softmax_backward": "softmax.cu",
    "words": "philox.cu",
    "uniforms": "philox.cu",
    "uniforms64": "philox.cu",
    "normals": "philox.cu",
}
NULL = np.uintp(0)  # a null pointer, for an absent array


@functools.cache
def source(file):
    """The text of a .cu file."""
    return (Path(__file__).parent / "kernels" / file).read_text()


@functools.cache
def _kernel(maker, name):
    return maker(source(KERNELS[name]), name, options=("--std=c++17",))


def launch(xp, name, grid, block, *args):
    """Run a kernel.   xp: the array module (it has RawKernel)   grid, block: tuples   None stands for a null pointer

    Scalars must be NumPy's, of the parameter's width: CuPy passes a Python number as 64 bits.
    """
    _kernel(xp.RawKernel, name)(grid, block, tuple(NULL if a is None else a for a in args))


def fits(*arrays):
    """Whether kernels can take these arrays (None is skipped): float32, in order, and not empty."""
    given = [a for a in arrays if a is not None]
    return all(getattr(a, "dtype", None) == np.float32 and a.flags.c_contiguous and 0 < a.size < 2**31 for a in given)
