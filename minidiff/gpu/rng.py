"""The generator of `minidiff.rng` with its two commonest draws as kernels, its step in device memory."""

import numpy as np

from .. import rng
from .source import launch

THREADS = 256


class DeviceRng(rng.Rng):
    """The same numbers as `minidiff.rng.Rng(seed, stream, step)`, made on the device.

    clock  uint32 (1,) device array that holds the step; None makes one. A CUDA graph that was captured with a clock
           draws what belongs to the step that the clock shows when the graph is replayed.
    """

    def __init__(self, seed, stream=0, step=0, xp=None, clock=None):
        super().__init__(seed, stream, step, xp)
        self.clock = xp.full(1, self.step, dtype=np.uint32) if clock is None else clock

    def at(self, step=None, stream=None):
        return DeviceRng(self.seed, self.stream if stream is None else stream, self.step if step is None else step, self.xp)

    def bits(self, n):
        words = (self.xp.full(1, word, dtype=np.uint64) for word in (self.call, self.stream))
        counter = self.xp.arange(-(-n // 4), dtype=np.uint64), *words, self.clock.astype(np.uint64)
        self.call += 1
        blocks = rng.philox(counter, (self.seed & 0xFFFFFFFF, self.seed >> 32), self.xp)
        return self.xp.stack(blocks, axis=1).reshape(-1)[:n]

    def random(self, size=(), dtype=np.float32):
        return self._draw("uniforms", size, 1) if np.dtype(dtype) == np.float32 else super().random(size, dtype)

    def standard_normal(self, size=(), dtype=np.float32):
        if np.dtype(dtype) != np.float32:
            return super().standard_normal(size, dtype)
        return self._draw("normals", size, 2)  # a thread makes two

    def _draw(self, name, size, each):
        shape, n = rng._shape(size)
        out = self.xp.empty(shape, np.float32)
        if n >= 2**31:
            raise ValueError(f"size: {n} numbers in one call, expected less than 2**31")
        if n:
            words = self.seed & 0xFFFFFFFF, self.seed >> 32, self.call, self.stream
            grid = (-(-n // (each * THREADS)),)
            launch(self.xp, name, grid, (THREADS,), out, np.uint32(n), *map(np.uint32, words), self.clock)
        self.call += 1
        return out
