"""Splits a batch by rows and joins it again: arrays, and tuples, lists and dicts of them."""

import numpy as np

from ...rng import RowsOfRng
from ...settings import all_settings
from ...tree import tree_map

LEAST = 2  # fewest rows of a part: the fixed cost of a call is not shared


class NotByRows(ValueError):
    """An array does not have one row for each example of the batch."""


def parts_of(total, count):
    """Slices that divide `total` rows into `count` parts, whose sizes differ by at most 1.   -> list of slices"""
    return [slice(total * i // count, total * (i + 1) // count) for i in range(count)]


def settings_for(part, total, threads):
    """The settings that hold here, for this part of the rows: dropout draws as for the whole batch, ops use `threads` threads,
    and nothing inside shares the rows once more."""
    settings = all_settings() | {"threads": threads, "own_rows": True}
    if settings.get("training") is not None:
        settings["training"] = RowsOfRng(settings["training"], part, total)
    return settings


def rows_of(thing, rows, total, xp=np):
    """These rows (a slice) of every array in thing; what is not an array is unchanged.

    Raises NotByRows for an array that is not one of `xp` or does not have `total` rows.
    """

    def cut(a):
        if not getattr(a, "ndim", 0):
            return a
        if not isinstance(a, xp.ndarray) or len(a) != total:
            raise NotByRows(f"got a {type(a).__name__} of shape {a.shape}, expected an array of {xp.__name__}, {total} rows")
        return a[rows]

    return tree_map(cut, thing)


def joined(things, parts):
    """The inverse: things of one structure, one for each slice of `parts`, their arrays one below the other.

    Raises ValueError for an array that does not have as many rows as its slice.
    """

    def join(*arrays):
        if not isinstance(arrays[0], np.ndarray):
            return arrays[0]
        for array, part in zip(arrays, parts, strict=True):
            n = part.stop - part.start
            if array.shape[:1] != (n,):
                raise ValueError(f"the module gave an array of shape {array.shape} for {n} examples, expected {n} rows")
        return np.concatenate(arrays)

    return tree_map(join, *things)
