"""The random numbers of torch's CPU generator, without torch.

Many published test figures draw their noise with `torch.manual_seed(0)`. This generator gives the same numbers, so those
figures can be reproduced with NumPy alone. Its method names are those of `numpy.random.Generator`, so it fits wherever
the library takes an `rng`.

    seeding      the Mersenne twister, seeded as numpy.random.RandomState(seed) is
    uniform      float32: the low 24 bits of one 32-bit draw times 2**-24;  float64: the low 53 bits of two draws
    normal       n >= 16: Box and Muller in blocks of 16, eight radii and eight angles;  n < 16: one pair at a time, in
                 float64, the second of a pair kept for the next call
    whole        one 32-bit draw modulo the range (two draws for ranges of 2**32 and more)

Sums are taken in float64 and rounded at the end, so float32 normals agree to about 1e-6, not to the last bit.
"""

import numpy as np


class TorchRandom:
    """What `torch.Generator("cpu").manual_seed(seed)` would give."""

    def __init__(self, seed=0):
        self._twister = np.random.RandomState(seed)
        self._kept = None  # the second number of a pair, when fewer than 16 normals were asked for

    def random(self, size=(), dtype=np.float32):
        """torch.rand(size): uniform on [0, 1)."""
        shape, n = _shape(size)
        if np.dtype(dtype) == np.float32:
            return ((self._bits(n) & np.uint64(0xFFFFFF)).astype(np.float32) * np.float32(2.0**-24)).reshape(shape)
        words = self._bits(2 * n).reshape(n, 2)
        whole = ((words[:, 0] << np.uint64(32)) | words[:, 1]) & np.uint64(2**53 - 1)
        return (whole.astype(np.float64) * 2.0**-53).astype(dtype).reshape(shape)

    def uniform(self, low=0.0, high=1.0, size=(), dtype=np.float32):
        """torch.empty(size).uniform_(low, high): what torch's layers are initialised with."""
        low, high = np.dtype(dtype).type(low), np.dtype(dtype).type(high)
        return self.random(size, dtype) * (high - low) + low

    def standard_normal(self, size=(), dtype=np.float32):
        """torch.randn(size)."""
        shape, n = _shape(size)
        if n < 16:
            return np.array([self._one_normal() for _ in range(n)], dtype=dtype).reshape(shape)
        u = self.random(n, dtype).astype(np.float64)
        z = _blocks(u)
        if n % 16:  # the last 16 places are drawn again, on top of what was there
            z = np.concatenate([z[: n - 16], _blocks(self.random(16, dtype).astype(np.float64))])
        return z.astype(dtype).reshape(shape)

    def normal(self, mean=0.0, std=1.0, size=(), dtype=np.float32):
        """torch.empty(size).normal_(mean, std): what torch's embeddings are initialised with."""
        return self.standard_normal(size, dtype) * np.dtype(dtype).type(std) + np.dtype(dtype).type(mean)

    def integers(self, low, high=None, size=()):
        """torch.randint(low, high, size) -> int64."""
        if high is None:
            low, high = 0, low
        shape, n = _shape(size)
        return (self._bits(n) % np.uint64(high - low)).astype(np.int64).reshape(shape) + low

    def permutation(self, n):
        """torch.randperm(n) -> int64 (n,). Fisher and Yates from the front."""
        order = np.arange(n)
        for i, word in enumerate(self._bits(max(n - 1, 0))):
            j = i + int(word % np.uint64(n - i))
            order[i], order[j] = order[j], order[i]
        return order

    def _bits(self, n):
        return self._twister.randint(0, 2**32, size=n, dtype=np.uint32).astype(np.uint64)

    def _one_normal(self):
        if self._kept is not None:
            z, self._kept = self._kept, None
            return z
        u1, u2 = self.random(2, np.float64)
        radius, angle = np.sqrt(-2.0 * np.log1p(-u2)), 2.0 * np.pi * u1
        self._kept = radius * np.sin(angle)
        return radius * np.cos(angle)


def _blocks(u):
    """Box and Muller on every whole block of 16 uniforms: eight radii, then eight angles."""
    u = u[: len(u) // 16 * 16].reshape(-1, 2, 8)
    radius, angle = np.sqrt(-2.0 * np.log(1.0 - u[:, 0])), 2.0 * np.pi * u[:, 1]
    return np.concatenate([radius * np.cos(angle), radius * np.sin(angle)], axis=1).reshape(-1)


def _shape(size):
    shape = (size,) if isinstance(size, (int, np.integer)) else tuple(size)
    return shape, int(np.prod(shape, dtype=np.int64))
