"""Half-precision weights as float32: in pieces that stay in cache, on all threads, with a kernel's axes turned on the way.

NumPy converts float16 one number at a time. Four passes over whole vectors take a quarter of that: the sign and the 15
other bits of a float16 are those of a float32 whose exponent is 112 too small. A product with 2^112 mends the exponent,
exactly, of numbers below the least normal one too. Infinity and NaN would become numbers, so weights are checked first.
"""

import numpy as np

from ..cpu.pieces import cut
from ..thread_team import share
from .tensor_file import widen

PIECE = 1 << 15  # numbers of a piece: 128 KiB in float32
TURNED, COLUMNS = (2, 3, 1, 0), 64  # of a kernel (O, C, KH, KW); how many of its rows are turned at a time
SIGN_AND_REST, UP = np.int32(-0x70000001), np.float32(2.0**112)


def widened(narrow, dtype, axes=None):
    """Finite weights as float32, with their axes in this order.   narrow: as `Stored.raw` returns them   dtype: "F16", ...

    A matrix is not turned but seen from the side, which a product takes as it is.
    """
    if dtype not in ("F16", "BF16") or narrow.size < PIECE or not narrow.flags.c_contiguous:
        return _plain(narrow, dtype, axes)
    if axes is None or narrow.ndim == 2:
        wide = np.empty(narrow.shape, np.float32)
        pieces, bits, flat = cut(narrow.size, PIECE), narrow.reshape(-1).view(np.int16), wide.reshape(-1)

        def straight(i):
            _widen(bits[slice(*pieces[i])], dtype, flat[slice(*pieces[i])])

        share(straight, len(pieces))
        return wide if axes is None else wide.transpose(axes)
    if tuple(axes) != TURNED:
        return _plain(narrow, dtype, axes)
    return _turned(narrow, dtype)


def _turned(narrow, dtype):
    """(O, C, KH, KW)   ->   (KH, KW, C, O), a few input channels at a time"""
    O, C, KH, KW = narrow.shape
    bits, wide = narrow.view(np.int16).reshape(O, C, KH * KW), np.empty((KH * KW, C, O), np.float32)
    pieces = cut(C, max(1, min(COLUMNS, -(-C // 2))))  # at least two, so that two threads have work

    def turn(i):
        some = slice(*pieces[i])
        block = np.empty((KH * KW, some.stop - some.start, O), np.int16)
        for start, stop in cut(O, COLUMNS):
            block[:, :, start:stop] = bits[start:stop, some].transpose(2, 1, 0)
        for tap in range(KH * KW):
            _widen(block[tap], dtype, wide[tap, some])

    share(turn, len(pieces))
    return wide.reshape(KH, KW, C, O)


def _widen(bits, dtype, out):
    """Write these numbers as float32.   bits int16, out float32, of one shape"""
    words = out.view(np.int32)
    words[...] = bits  # the sign fills the upper half
    np.left_shift(words, 16 if dtype == "BF16" else 13, out=words)
    if dtype == "F16":
        np.bitwise_and(words, SIGN_AND_REST, out=words)
        np.multiply(out, UP, out=out)


def _plain(narrow, dtype, axes):
    if axes is None or narrow.ndim == 2:
        wide = widen(narrow, dtype)
        return wide if axes is None else wide.transpose(axes)
    return widen(np.ascontiguousarray(narrow.transpose(axes)), dtype)  # turned while narrow: half the bytes
