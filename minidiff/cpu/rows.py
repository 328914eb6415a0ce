"""One number for each channel, applied to every pixel, in long runs.

NumPy's inner loop over 32 channels costs as much to enter as to run. The same row written several times side by side
makes it a loop over 256 numbers, over pixels taken several at a time.
"""

import numpy as np

RUN = 256
LONG = 1 << 13  # from about here on NumPy's broadcast additions are as fast as those of two whole arrays


def repeats(rows, C):
    """How many of `rows` rows of C numbers are best taken as one: a divisor of rows."""
    n = 1
    while n * C < RUN and rows % (2 * n) == 0:
        n *= 2
    return n


def tiled(row, n):
    """row (..., C) written n times side by side.   -> (..., n C)"""
    return row if n == 1 else np.concatenate([row] * n, axis=-1)


def add_row(rows, row):
    """rows += row, in place.   rows (R, C), contiguous   row (C,)"""
    n = -(-LONG // len(row))
    whole = len(rows) // n * n if len(rows) > 4 * n else 0  # writing the row n times takes time as well
    if whole:
        wide = rows[:whole].reshape(-1, n * len(row))
        wide += tiled(row, n)
    rows[whole:] += row
