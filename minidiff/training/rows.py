"""A batch taken apart by rows and put together again: arrays, and tuples, lists and dicts of them."""

import numpy as np


class NotByRows(ValueError):
    """An array has not one row for each example of the batch."""


def rows_of(thing, rows, total):
    """The `rows` (a slice) of every array in thing; what is no array stays as it is.

    Raises NotByRows for an array without `total` rows, or one that is not NumPy's.
    """
    if isinstance(thing, np.ndarray) and thing.ndim:
        if len(thing) != total:
            raise NotByRows(f"an array of shape {thing.shape} in a batch of {total}")
        return thing[rows]
    if hasattr(thing, "shape") and thing.shape:
        raise NotByRows(f"a {type(thing).__name__}, expected NumPy's arrays")
    return _like(thing, [rows_of(part, rows, total) for part in _parts(thing)])


def joined(things):
    """The inverse of `rows_of`: things of one structure, their arrays one below the other."""
    first = things[0]
    if isinstance(first, np.ndarray) and first.ndim:
        return np.concatenate(things)
    return _like(first, [joined(parts) for parts in zip(*map(_parts, things), strict=True)])


class RowsOfRng:
    """Some rows of what `rng` draws for a whole batch, so that dropout drops the same numbers however a batch is shared."""

    def __init__(self, rng, rows, total):
        self.rng, self.rows, self.total = rng, rows, total

    def random(self, size, dtype="float32"):
        return self.rng.random((self.total, *size[1:]), dtype=dtype)[self.rows]


def _parts(thing):
    if isinstance(thing, dict):
        return list(thing.values())
    return list(thing) if isinstance(thing, (tuple, list)) else []


def _like(thing, parts):
    """`thing` with other parts."""
    if isinstance(thing, dict):
        return dict(zip(thing, parts, strict=True))
    if isinstance(thing, (tuple, list)):
        return type(thing)(*parts) if hasattr(thing, "_fields") else type(thing)(parts)
    return thing
