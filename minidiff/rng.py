"""Counter-based random numbers: Philox 4x32-10, the same stream on every machine and device.

A block of four 32-bit words is a pure function of a 64-bit key (the seed) and a 128-bit counter
(element // 4, call, stream, step), so there is no state to lose. The noise of training step 812 follows from the
seed and the number 812. Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3".

The method names are those of `numpy.random.Generator` (standard_normal, random, integers, permutation), so wherever
the library takes an `rng`, NumPy's own generator works too. On a GPU a draw is one kernel; float64 normals are made of one.
"""

import enum
import importlib
import math
import os

import numpy as np

from .backend import fast_version

_M0, _M1 = 0xD2511F53, 0xCD9E8D57  # the two multipliers
CHUNK = 16384  # blocks at a time, so that the words of a round stay in a processor's cache
_W0, _W1 = 0x9E3779B9, 0xBB67AE85  # what the key grows by each round (golden ratio, sqrt(3) - 1)


@enum.unique
class Stream(enum.IntEnum):
    """Every stream of a seed that minidiff draws from. Two uses of one number would get the same noise without a word."""

    WEIGHTS = 0  # initial weights
    NOISE = 1  # times and noise of a training step
    DROPOUT = 2
    SAMPLES = 3  # the samples that a trainer draws during training
    EXAMPLES = 4  # training data that a recipe draws step by step
    PIXELS = 5  # images on which a recipe measures the scale of its latents
    DEMO_FILM = 7
    DEMO_MEASURED = 8
    STUDY_START = 101  # the noise that sampling starts from
    STUDY_WALK = 102  # the noise that samplers add on the way
    STUDY_HELD_OUT = 103  # the order of held-out digits
    STUDY_LOSS = 104
    STUDY_KNOWING_T = 105
    STUDY_NOISED = 106
    STUDY_CLEANED = 107
    STUDY_BOUND = 108  # the variational bound
    STUDY_DEQUANTIZE = 109
    ORDER = 0xDA7A  # the order of the training data


def philox(counter, key, xp=np):
    """Ten rounds of Philox 4x32.   counter: four uint64 arrays below 2**32 (broadcastable)   key: two ints below 2**32
    ->   four uint64 arrays below 2**32.   Words live in uint64 so that a 32 x 32 product is one multiply."""
    c0, c1, c2, c3 = counter
    k0, k1 = key
    low = xp.uint64(0xFFFFFFFF)
    half = xp.uint64(32)
    for _ in range(10):
        p0 = c0 * xp.uint64(_M0)
        p1 = c2 * xp.uint64(_M1)
        c0, c1, c2, c3 = (p1 >> half) ^ c1 ^ xp.uint64(k0), p1 & low, (p0 >> half) ^ c3 ^ xp.uint64(k1), p0 & low
        k0, k1 = (k0 + _W0) & 0xFFFFFFFF, (k1 + _W1) & 0xFFFFFFFF
    return c0, c1, c2, c3


class Rng:
    """Random numbers from (seed, stream, step); each call takes the next of 2**32 draws.

    seed    0 <= seed < 2**64; None asks the operating system for one
    stream  0 <= stream < 2**32: one for each independent use (data order, noise, dropout); those of minidiff are in `Stream`
    step    0 <= step < 2**32: the training or sampling step
    xp      the array module in which numbers are made
    clock   uint32 (1,) on xp's device, added to the step: a recorded step that is replayed draws on by it. None: nothing
    """

    def __init__(self, seed=None, stream=0, step=0, xp=np, clock=None):
        if seed is None:
            seed = int.from_bytes(os.urandom(8), "little")
        for name, value, bits in (("seed", seed, 64), ("stream", stream, 32), ("step", step, 32)):
            if not isinstance(value, (int, np.integer)) or not 0 <= value < 2**bits:
                raise ValueError(f"{name}: got {value!r}, expected a whole number in [0, 2**{bits})")
        self.seed, self.stream, self.step, self.xp = int(seed), int(stream), int(step), xp
        self.call, self.clock = 0, clock

    def at(self, step=None, stream=None):
        """A fresh generator of the same seed at another step or stream, its first draw next."""
        return Rng(
            self.seed, self.stream if stream is None else stream, self.step if step is None else step, self.xp, self.clock
        )

    def __getstate__(self):
        return {**vars(self), "xp": self.xp.__name__}  # a module does not copy, nor go to another process

    def __setstate__(self, state):
        vars(self).update(state, xp=importlib.import_module(state["xp"]))

    def __repr__(self):
        return f"Rng(seed={self.seed}, stream={self.stream}, step={self.step}, call={self.call})"

    def bits(self, n, first=0):
        """n words of 32 random bits from word `first` of a draw on, as uint64 (n,). Uses up one call."""
        if hasattr(self.xp, "RawKernel"):
            return self._kernel("words", (first + n,), first + n)[first:]
        xp, before, blocks = self.xp, first // 4, -(-(first + n) // 4)
        key = self.seed & 0xFFFFFFFF, self.seed >> 32
        rest = [xp.full((1,), word, dtype=xp.uint64) for word in (self.call, self.stream, self.step)]
        if self.clock is not None:
            rest[2] = (rest[2] + self.clock.astype(xp.uint64)) & xp.uint64(0xFFFFFFFF)
        self.call += 1
        parts = []
        for start in range(before, blocks, CHUNK) or [before]:
            counter = xp.arange(start, min(start + CHUNK, blocks), dtype=xp.uint64)
            parts.append(xp.stack(philox((counter, *rest), key, xp), axis=1).reshape(-1))
        words = parts[0] if len(parts) == 1 else xp.concatenate(parts)
        return words[first - 4 * before :][:n]

    def random(self, size=(), dtype=np.float32, first=0):
        """Uniform on [0, 1).   size -> array of that shape: 24 random bits in float32, 53 in float64.

        first: how many numbers of the draw to leave out: rng.random(5) is rng.random(8)[3:] of another such rng, with first=3
        """
        shape, n = _shape(size)
        if hasattr(self.xp, "RawKernel"):
            kernel = "uniforms" if np.dtype(dtype) == np.float32 else "uniforms64"
            return self._kernel(kernel, (first + n,), first + n)[first:].reshape(shape)
        if np.dtype(dtype) == np.float32:
            return (self.bits(n, first) >> 8).astype(np.float32).reshape(shape) * np.float32(2.0**-24)
        words = self.bits(2 * n, 2 * first).reshape(n, 2)
        whole = ((words[:, 0] >> 5) << 26) + (words[:, 1] >> 6)  # 27 + 26 = 53 bits
        return whole.astype(np.float64).reshape(shape) * 2.0**-53

    def standard_normal(self, size=(), dtype=np.float32, first=0, of=None):
        """Normal numbers of mean 0 and variance 1, by Box and Muller.   size -> array of that shape and dtype.

        first, of: only those from number `first` on, of a draw of `of` numbers (None: up to its end)
        """
        xp, (shape, n) = self.xp, _shape(size)
        of = first + n if of is None else of
        if hasattr(xp, "RawKernel") and np.dtype(dtype) == np.float32:
            return self._kernel("normals", (of,), of)[first : first + n].reshape(shape)
        pairs = -(-of // 2)  # number i < pairs of a draw is the cosine of pair i, and number pairs + i the sine
        if n == of:
            radius, angle = _polar(self.random((2, pairs), dtype), xp)
            return xp.concatenate([radius * xp.cos(angle), radius * xp.sin(angle)])[:n].reshape(shape)
        parts, call = [], self.call
        for wave, start in ((xp.cos, 0), (xp.sin, pairs)):
            low, high = (min(max(0, end - start), pairs) for end in (first, first + n))
            u = []
            for skipped in (low, pairs + low):
                self.call = call  # all from one draw
                u.append(self.random(high - low, dtype, first=skipped))
            radius, angle = _polar(u, xp)
            parts.append(radius * wave(angle))
        return xp.concatenate(parts).reshape(shape)

    def integers(self, low, high=None, size=(), first=0):
        """Whole numbers, uniform on low .. high - 1 (0 .. low - 1 with one bound).   size -> int64 array of that shape.

        first: as in `random`
        """
        if high is None:
            low, high = 0, low
        if high <= low:
            raise ValueError(f"integers: the range [{low}, {high}) is empty")
        shape, n = _shape(size)
        u = self.random(n, np.float64, first)  # 53 bits: the bias for a range of R is below R / 2**53
        return (u * float(high - low)).astype(np.int64).reshape(shape) + low

    def permutation(self, n):
        """The whole numbers 0 .. n - 1 in random order.   -> int64 (n,)"""
        return self.xp.argsort(self.random(n, np.float64)).astype(np.int64)

    def _kernel(self, name, shape, n):
        return fast_version("gpu.rng", "draw")(self, name, shape, n)


class RowsOfRng:
    """These rows of what `rng` draws for a whole batch, so that dropout and noise are the same however a batch is split.

    rows    a slice of `total` rows: every size that is asked for begins with their number
    """

    def __init__(self, rng, rows, total):
        self.rng, self.rows, self.total = rng, rows, total

    def random(self, size, dtype=np.float32):
        return self._rows("random", size, dtype=dtype)

    def standard_normal(self, size, dtype=np.float32):
        return self._rows("standard_normal", size, dtype=dtype)

    def integers(self, low, high=None, size=()):
        return self._rows("integers", size, low=low, high=high)

    def _rows(self, method, size, **options):
        (_, *row), draw = _shape(size)[0], getattr(self.rng, method)
        if not isinstance(self.rng, Rng):  # its numbers have to be drawn in order
            return draw(size=(self.total, *row), **options)[self.rows]
        of = {"of": self.total * math.prod(row)} if method == "standard_normal" else {}
        return draw(size=size, first=self.rows.start * math.prod(row), **of, **options)


def as_rng(rng, xp=np):
    """A generator from what a caller may pass: an int is a seed, None a fresh one, a generator itself."""
    if rng is None or isinstance(rng, (int, np.integer)):
        return Rng(rng, xp=xp)
    return rng


def _polar(u, xp):
    """Radius and angle of pairs of normal numbers.   u: two arrays of uniform numbers"""
    return xp.sqrt(-2.0 * xp.log(1.0 - u[0])), u[1] * (2.0 * np.pi)  # 1 - u lies in (0, 1], so the logarithm is finite


def _shape(size):
    shape = (size,) if isinstance(size, (int, np.integer)) else tuple(size)
    return shape, int(np.prod(shape, dtype=np.int64))
