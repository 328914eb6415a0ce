"""The draws of `minidiff.rng` as kernels: the same numbers, generated on the device in one launch."""

import numpy as np

from .source import launch

THREADS = 256
DTYPES = {"words": np.uint64, "uniforms": np.float32, "uniforms64": np.float64, "normals": np.float32}


def draw(rng, kernel, shape, n):
    """The next call of a generator, n numbers in an array of this shape.   rng: a minidiff.rng.Rng on a device"""
    if n >= 2**31:
        raise ValueError(f"size: {n} numbers in one call, expected less than 2**31")
    out = rng.xp.empty(shape, DTYPES[kernel])
    if n:
        words = rng.seed & 0xFFFFFFFF, rng.seed >> 32, rng.call, rng.stream, rng.step
        threads = -(-n // 2) if kernel == "normals" else n  # a thread generates two normals
        launch(rng.xp, kernel, (-(-threads // THREADS),), (THREADS,), out, np.uint32(n), *map(np.uint32, words), rng.clock)
    rng.call += 1
    return out
